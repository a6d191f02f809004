-- expect: line 3: unexpected symbol near ','
return {
    memory = ,
}
