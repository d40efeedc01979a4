"""Campaigns that try to make deriva-ml lose something: kills, bad disks, lost power, a bad wire, many processes."""
