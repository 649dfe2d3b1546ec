"""What people see: console, TensorBoard, tables, figures, leaderboards."""
