"""Figures. What returns a Plotly figure serves notebooks and pages alike; small ones are SVG."""
