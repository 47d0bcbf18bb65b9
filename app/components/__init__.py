"""What Streamlit has no widget for: each draws in the browser and is told what to draw."""
