"""What remakes, judges and measures the captioner that ships."""
