# table.awk - tables of what run.sh measured, one line of JSON each.
#
# Bounds. Prompt: its floating-point operations over the measured rate of a large matrix product.
# Token: bytes of weights and of keys and values over the measured bandwidth of a copy on the device;
# within a budget not less than the bytes that the program moved over the measured link.

function text(key,   s) {
    if (!match($0, "\"" key "\": \"[^\"]*\""))
        return ""
    s = substr($0, RSTART, RLENGTH)
    sub(/^[^:]*: "/, "", s)
    return substr(s, 1, length(s) - 1)
}

function number(key,   s) {
    if (!match($0, "\"" key "\": [-0-9.e+]+"))
        return 0
    s = substr($0, RSTART, RLENGTH)
    sub(/^[^:]*: /, "", s)
    return s + 0
}

function cell(x, format) { return x > 0 ? sprintf(format, x) : "-" }
function ratio(a, b) { return a > 0 && b > 0 ? sprintf("%.2f", a / b) : "-" }

BEGIN {
    WEIGHTS = 15009849344        # of Llama-3-8B that a token reads; 131072 bytes a token of context
    PER_TOKEN = 131072
}

{ kind = text("bench") }
kind == "limits" { copy = number("copy_gbs"); matrix = number("tflops") }
kind == "attend" {
    key = number("head_dim") SUBSEP number("keys")
    if (!(key in attend_seen)) { attend_seen[key] = 1; attend_key[++attends] = key }
    attend[key, text("kernel")] = number("tflops")
}
kind == "sdpa" {
    key = number("head_dim") SUBSEP number("keys")
    attend[key, text("way") ($0 ~ /"causal": true/ ? "_causal" : "")] = number("tflops")
}
kind == "decode" {
    decode[++decodes] = sprintf("| %d | %d | %.1f | %.1f | %.1f | %.0f | %.2f |", number("head_dim"),
        number("keys"), number("part_us"), number("merge_us"), number("both_us"), number("gbs"), number("of_copy"))
}
kind == "product" {
    products[++n_products] = sprintf("| %s | %d | %d | %.1f | %.0f | %.2f |", text("matrix"),
        number("n"), number("k"), number("us"), number("gbs"), number("of_copy"))
}
kind == "rows" {
    name = text("kernel")
    if (!(name in row_seen)) { row_seen[name] = 1; row_name[++rows] = name; row_hidden = number("hidden") }
    if (number("hidden") == row_hidden) row[name] = sprintf("%.0f | %.2f", number("gbs"), number("of_copy"))
}
kind == "link" {
    if (text("way") == "in" && number("plain_gbs") > link_in) link_in = number("plain_gbs")
    link[++links] = sprintf("| %s | %d | %.1f | %.1f | %.2f |", text("way"), number("tile_kib"),
        number("plain_gbs"), number("queues_gbs"), number("of_plain"))
}
kind == "pinning" { pinning = sprintf("first touch %.1f GB/s, registration %.1f GB/s", number("touch_gbs"), number("register_gbs")) }
kind == "open" { opened = opened sprintf("%s opens in %.1f s%s; ", text("plan"), number("seconds"), text("note") == "" ? "" : " (" text("note") ")") }
kind == "model" || kind == "schedule" {
    way = kind == "model" ? text("plan") : text("way")
    n = number("tokens")
    if (!(n in length_seen)) { length_seen[n] = 1; tokens[++lengths] = n }
    if (kind == "schedule" && !(way in way_seen)) { way_seen[way] = 1; ways[++n_ways] = way }
    if (number("prefill_s") > 0) { prompt[way, n] = number("prefill_s"); token[way, n] = number("decode_ms") }
    if (kind == "model") moved[way, n] = number("token_in_bytes")
}

END {
    if (matrix) printf "\ncopy on the device %.0f GB/s (read plus written); bf16 products 8192^3 %.0f TFLOP/s\n", copy, matrix
    if (attends) {
        print "\nprefill attention, 4096 queries, GQA 4, TFLOP/s (fraction of the product's rate); PyTorch where measured\n"
        print "| head | keys | full | causal | full sm_90 | causal sm_90 | flash | flash causal | cuDNN | cuDNN causal | best of ours/cuDNN |"
        print "|---|---|---|---|---|---|---|---|---|---|---|"
        for (i = 1; i <= attends; i++) {
            split(attend_key[i], k, SUBSEP)
            line = sprintf("| %d | %d |", k[1], k[2])
            best = 0
            j = split("k_attend_full k_attend_causal k_attend_full_sm90 k_attend_causal_sm90", column, " ")
            for (m = 1; m <= j; m++) {
                x = attend[attend_key[i], column[m]]
                line = line (x ? sprintf(" %.0f (%.2f) |", x, matrix ? x / matrix : 0) : " - |")
                if (m % 2 && x > best) best = x
            }
            j = split("flash flash_causal cudnn cudnn_causal", column, " ")
            for (m = 1; m <= j; m++)
                line = line " " cell(attend[attend_key[i], column[m]], "%.0f") " |"
            print line " " ratio(best, attend[attend_key[i], "cudnn"]) " |"
        }
    }
    if (decodes) {
        print "\ndecode attention, 8 KV heads, GQA 4; GB/s of keys and values, and of a copy\n"
        print "| head | keys | parts us | merge us | both us | GB/s | of copy |\n|---|---|---|---|---|---|---|"
        for (i = 1; i <= decodes; i++) print decode[i]
    }
    if (n_products) {
        print "\nproducts of one token; GB/s of weights, and of a copy\n"
        print "| matrix | n | k | us | GB/s | of copy |\n|---|---|---|---|---|---|"
        for (i = 1; i <= n_products; i++) print products[i]
    }
    if (rows) {
        printf "\nkernels over rows, hidden %d\n\n| kernel | GB/s | of copy |\n|---|---|---|\n", row_hidden
        for (i = 1; i <= rows; i++) print "| " row_name[i] " | " row[row_name[i]] " |"
    }
    if (links) {
        print "\nlink, GB/s of each direction" (pinning ? "; " pinning : "") "\n"
        print "| way | tile KiB | plain | queues | ratio |\n|---|---|---|---|---|"
        for (i = 1; i <= links; i++) print link[i]
    }
    if (!lengths) exit
    print "\nLlama-3-8B's shape, random weights; " opened "\n"
    head = "| tokens | bound | all resident | 24G | resident/24G |"
    rule = "|---|---|---|---|---|"
    for (w = 1; w <= n_ways; w++) { head = head " " ways[w] " |"; rule = rule "---|" }
    print "prompt, s\n\n" head "\n" rule
    for (i = 1; i <= lengths; i++) {
        n = tokens[i]
        line = sprintf("| %d | %s | %s | %s | %s |", n, matrix ? sprintf("%.3f", (13.96e9 * n + 262144 * n * n) / matrix / 1e12) : "-",
            cell(prompt["resident", n], "%.3f"), cell(prompt["24G", n], "%.3f"), ratio(prompt["resident", n], prompt["24G", n]))
        for (w = 1; w <= n_ways; w++) line = line " " cell(prompt[ways[w], n], "%.3f") " |"
        print line
    }
    print "\none token, ms; bound: all resident, and within 24G\n\n" head "\n" rule
    for (i = 1; i <= lengths; i++) {
        n = tokens[i]
        hbm = copy ? (WEIGHTS + PER_TOKEN * n) / copy / 1e6 : 0
        over = link_in && moved["24G", n] ? moved["24G", n] / link_in / 1e6 : 0
        line = sprintf("| %d | %s, %s | %s | %s | %s |", n, cell(hbm, "%.2f"), cell(over > hbm ? over : hbm, "%.2f"),
            cell(token["resident", n], "%.2f"), cell(token["24G", n], "%.2f"), ratio(token["resident", n], token["24G", n]))
        for (w = 1; w <= n_ways; w++) line = line " " cell(token[ways[w], n], "%.2f") " |"
        print line
    }
}
