"""What people see: the Gradio page."""
