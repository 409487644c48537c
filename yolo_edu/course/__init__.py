"""What only the notebooks need: set-up, exercise checks, quizzes, widgets and figures. No module imports it."""
