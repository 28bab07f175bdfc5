"""What lives in the notebook: pictures of the runtime that change by themselves.

Nothing here is imported before a widget is shown: anywidget and ipywidgets take a third of a second.
"""
