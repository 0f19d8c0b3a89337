"""Pictures for the vision families: published files in a folder of the user's, as arrays.

One file per format. Nothing of a data set ships with Saltus, and nothing is unpacked to the
disk. Every file is taken for hostile: its sizes are checked against its header before anything
is allocated, and no pickle is opened.
"""
