"""Night after night over an archive that grows: what is new is read, what is known is not.

A directory of nights holds ordinary run directories over selections of the archive's cards,
and a catalogue that says where the current reading of every card lies. The runs are the
truth; the catalogue is made from them and can always be made again.
"""
