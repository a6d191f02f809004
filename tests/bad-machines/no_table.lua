-- expect: returns a number; it must end in: return { ... }
return 24
