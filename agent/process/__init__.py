"""What a process is: what it was told, its clock and chance, its log.

settings     every variable, checked; begin here. environment is the one place where they are read
held_keys    the key that signs, from a variable or a keystore; sealing_keys: how SEALING_KEYS is spelt
world        time, ids and chance enter here; deadline: how much of a tick is left
logs         one line of JSON each; redaction keeps secrets out of them
per_loop     what belongs to one event loop
own_memory   nobody looks into a process that has read its settings; private_files: nor into what it writes
"""
