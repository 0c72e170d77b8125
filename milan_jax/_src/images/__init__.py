"""Image sources: folders, arrays and packaged photographs."""
