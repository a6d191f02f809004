# pairs.awk - do the placements that set every quantity cover each pair of their values?
#
# names  the quantities; 'budget' is a line's first word, the others are options
# least  pairs there must be at least
BEGIN { n = split(names, name, " ") }

/^#/ || !/--group.*--tile.*--slots.*--chunk/ || /rewind|[^-]rows/ { next }

{
    value["gbps"] = 0
    value["budget"] = $1
    gsub(/=/, " ")
    for (i = 2; i < NF; i++) {
        word = $i
        sub(/^--/, "", word)
        value[word] = $(i + 1)
    }
    for (i = 1; i <= n; i++) {
        if (!((i, value[name[i]]) in seen)) {
            seen[i, value[name[i]]]
            list[i, ++count[i]] = value[name[i]]
        }
        for (j = i + 1; j <= n; j++)
            pair[i, value[name[i]], j, value[name[j]]]
    }
}

END {
    for (i = 1; i <= n; i++)
        for (j = i + 1; j <= n; j++)
            for (a = 1; a <= count[i]; a++)
                for (b = 1; b <= count[j]; b++) {
                    wanted++
                    if ((i, list[i, a], j, list[j, b]) in pair)
                        continue
                    print "not covered: " name[i] " " list[i, a] " with " name[j] " " list[j, b]
                    missing++
                }
    print wanted - missing " of " wanted " pairs are covered"
    exit missing > 0 || wanted < least
}
