"""
Plays orders against a running platform, as its clients would, and tells how it went.

city      a seeded city and its orders      day        a recorded day, from its files
lines     orders from a file, line by line  journal    what the client was promised, on disk
wire      one request and its answer, bytes pacing     how fast to send: pure decisions
load      the load generator                watch      which orders have ended, from Postgres
report    what a run came to                play       all of it together
"""
