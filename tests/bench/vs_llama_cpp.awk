# vs_llama_cpp.awk - the table of vs_llama_cpp from its samples.
#
# Samples: type, test, depth, side, GB/s read before, seconds, KiB at most. Plans: type, context,
# bytes of weights, bytes of keys and values that the context takes.

function sort(list, n,    i, j, t) {
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && list[j] < list[j - 1]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
}

# Of value[key, 1 .. count[key]]; sets least and most.
function middle(key,    n, i, list) {
    n = count[key]
    for (i = 1; i <= n; i++) list[i] = value[key, i]
    sort(list, n)
    least = list[1]
    most = list[n]
    return (list[int((n + 1) / 2)] + list[int(n / 2) + 1]) / 2
}

function add(key, x) { value[key, ++count[key]] = x }

# "12.3 (11.9 - 12.4)" in the row's unit.
function figure(key,    m, f) {
    m = middle(key)
    f = m >= 1000 ? "%.0f" : m >= 100 ? "%.1f" : "%.2f"
    return sprintf(f " (" f " - " f ")", m, least, most)
}

# One line. What is better: higher +1 or lower -1. The peer's side is the one with the better median.
function row(type, name, key, unit, better, goal, bound,    fa, best, m, ours) {
    best = ""
    for (fa = 0; fa <= 1; fa++) {
        if (!((key, fa) in count)) continue
        m = middle(key SUBSEP fa)
        if (best == "" || better * m > better * chosen) { best = fa; chosen = m }
    }
    ours = (key, "ours") in count
    if (!ours && best == "") return
    printf "| %s | %s | %s | %s | %s | %s | %s | %s |\n", type, name, ours ? figure(key SUBSEP "ours") " " unit : "-",
        best == "" ? "-" : figure(key SUBSEP best) " " unit, best, ours && best != "" ? sprintf("%.2f", middle(key SUBSEP "ours") / chosen) : "-",
        goal, bound
}

function percent(key) { return key in count ? sprintf("%.0f %% of reads", 100 * middle(key)) : "" }

# Resident bytes of ours over what the plan needs: weights, keys and values.
function planned(type, key, ctx) {
    if (!((key, "ours") in count)) return ""
    return sprintf("%.3f of weights + KV", middle(key SUBSEP "ours") * 1048576 / (weights[type, ctx] + kept[type, ctx]))
}

BEGIN {
    while ((getline <plans) > 0) { weights[$1, $2] = $3; kept[$1, $2] = $4; per_token[$1] = $4 / $2 }
    while ((getline <samples) > 0) {
        key = $1 SUBSEP $2 SUBSEP $3
        tokens = substr($2, 2)
        if ($2 ~ /^[pn]/) add(key SUBSEP $4, tokens / $6)
        if ($2 ~ /^t/) add(key SUBSEP $4, $6)
        if ($2 ~ /^m/) add($1 SUBSEP "rss" SUBSEP $3 SUBSEP $4, $7 / 1024)
        if ($2 == "p2048") add($1 SUBSEP "rss" SUBSEP $3 SUBSEP $4, $7 / 1024)
        if ($2 ~ /^n/ && $4 == "ours")
            add($1 SUBSEP "reads" SUBSEP $3, (weights[$1, 2048] + per_token[$1] * ($3 + tokens / 2)) * tokens / $6 / ($5 * 1e9))
    }
    print "| weights | test | ours | llama.cpp | -fa | ours / llama.cpp | goal | bound |"
    print "|---|---|---|---|---|---|---|---|"
    n_types = split(types, type, " ")
    n_depths = split("4096 16384 32768", depth, " ")
    deep_prefill[1] = ">= 2.5"; deep_prefill[2] = ">= 5"; deep_prefill[3] = ">= 5"
    deep_decode[1] = ">= 1.3"; deep_decode[2] = ">= 1.7"; deep_decode[3] = ">= 2.2"
    for (i = 1; i <= n_types; i++) {
        t = type[i]
        row(t, "prefill 512", t SUBSEP "p512" SUBSEP 0, "tok/s", 1, ">= 1.5", "")
        row(t, "prefill 2048", t SUBSEP "p2048" SUBSEP 0, "tok/s", 1, ">= 1.5", "")
        for (d = 1; d <= n_depths; d++)
            row(t, "prefill 512 at " depth[d], t SUBSEP "p512" SUBSEP depth[d], "tok/s", 1, deep_prefill[d], "")
        row(t, "decode", t SUBSEP "n64" SUBSEP 0, "tok/s", 1, ">= 1.0", percent(t SUBSEP "reads" SUBSEP 0))
        for (d = 1; d <= n_depths; d++)
            row(t, "decode at " depth[d], t SUBSEP "n64" SUBSEP depth[d], "tok/s", 1, deep_decode[d], percent(t SUBSEP "reads" SUBSEP depth[d]))
        row(t, "first token of 1", t SUBSEP "t1" SUBSEP 0, "s", -1, "<= 1.0", "")
        row(t, "first token of 512", t SUBSEP "t512" SUBSEP 0, "s", -1, "<= 0.7", "")
        row(t, "peak memory, 2048 tokens", t SUBSEP "rss" SUBSEP 0, "MiB", -1, "<= 1.0", planned(t, t SUBSEP "rss" SUBSEP 0, 2048))
        for (d = 1; d <= n_depths; d++)
            row(t, "peak memory, " depth[d] + 512 " tokens", t SUBSEP "rss" SUBSEP depth[d], "MiB", -1, "<= 1.0",
                planned(t, t SUBSEP "rss" SUBSEP depth[d], depth[d] + 512))
    }
}
