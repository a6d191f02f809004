-- expect: returns a nil; it must end in: return { ... }
heads = 8
