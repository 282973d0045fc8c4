"""Exports: a ledger's entries in the forms that other tools read, each a verified view of the ledger.

An export replays first. What is written is what was replayed: the entries are read again in the same
snapshot, hashed again, and must come to the root that the verdict has. Every record says where it stands
(origin, index, leaf hash, size and root), so that it can be looked up; with proofs it carries its entry,
the inclusion proof and the signed checkpoint, so that a single copied line can be checked without the
ledger.

Each format is a module, named in :mod:`verify.exports.formats`, and a pure function of entries: what is
written about an entry can be written again from the entry that a line carries, which is how a line that was
changed is found (:mod:`verify.exports.checking`).
"""
