"""What was compiled and measured, kept on disk for all processes of a machine."""
