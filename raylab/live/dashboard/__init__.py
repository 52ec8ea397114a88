"""The page on loopback that shows a stream and takes the wearer's marks. Imports from ``core`` only: it subscribes to a stream's events."""
