# random_models.awk - random models and plans, as shell assignments.
#
#   awk -v seed=S -v what=model -v n=N -v spec=FILE -v family=FILE -f random_models.awk
#                                                                     spec N and its family to FILEs
#   awk -v seed=S -v what=plan -v n=N -v ... -f random_models.awk             plan N of a model
#
# The same numbers with every awk: an own generator, nothing beyond 2^53.

function below(k)
{
    state = state * 16807 % 2147483647
    return int(state / 2147483647 * k)
}

function one_of(list,    part, k)
{
    k = split(list, part, " ")
    return part[1 + below(k)]
}

function yes(percent)
{
    return below(100) < percent
}

# Half of the multiples of 'step' up to 'most' are small.
function multiple(step, most)
{
    return step * (1 + below(yes(50) ? most / step / 4 : most / step))
}

function bool(percent)
{
    return yes(percent) ? "true" : "false"
}

# Divisors of 'n' frequencies, as a table.
function divisors(n,    i, list)
{
    for (i = 0; i < n; i++)
        list = list (1 + below(40) / 8) ", "
    return "{ " list "}"
}

function rope(dim,    kind, freqs)
{
    kind = one_of("default default linear llama3 yarn longrope dynamic")
    freqs = "kind = \"" kind "\", theta = " one_of("100 10000 500000")
    if (kind != "default" && kind != "longrope")
        freqs = freqs ", factor = " one_of("1.5 4 32")
    if (kind == "yarn")
        freqs = freqs ", beta_fast = 32, beta_slow = 1"
    if (kind == "yarn" || kind == "longrope")
        freqs = freqs ", attn_factor = " one_of("1 1.25")
    if (kind == "longrope")
        freqs = freqs ", long = " divisors(dim / 2) ", short = " divisors(dim / 2)
    if (kind ~ /yarn|longrope|dynamic/)
        freqs = freqs ", orig_ctx = " one_of("64 1000 8192")
    if (kind == "llama3")
        freqs = freqs ", low_freq = 1, high_freq = 4, orig_ctx = " one_of("64 1000 8192")
    return freqs
}

function tensors(names, suffix,    part, k, i)
{
    k = split(names, part, " ")
    for (i = 1; i <= k; i++)
        print "        " part[i] " = \"%d." part[i] suffix "\"," > family
}

# Every part that a block may have, in any company.
function make_family(packed_qkv, packed_mlp)
{
    print "return {\n    family = \"random\", block = { \"norm_qkv\", \"attend\", \"out_mlp\" }," > family
    if (yes(40))
        print "    norm_offset = 1," > family
    if (yes(40))
        print "    embed_scale = \"sqrt_hidden\"," > family
    print "    tensors = { embed = \"e\", final_norm = \"n\", lm_head = \"h\", layer = {" > family
    tensors("attn_norm o mlp_norm down" (packed_qkv ? " qkv" : " q k v") (packed_mlp ? " gate_up" : " gate up"), "")
    tensors((yes(50) ? "q_norm k_norm" : "") (yes(40) ? " attn_post_norm mlp_post_norm" : ""), "")
    tensors("o_bias down_bias" (packed_qkv ? "" : " q_bias k_bias v_bias") (packed_mlp ? "" : " gate_bias up_bias"), "")
    print "    } },\n}" > family
}

# Layers with a window, or none: sizes about blocks and splits, or any.
function window(layers, most,    first, every)
{
    win = all_roll = 0
    if (yes(25))
        return
    win = one_of("1 2 100 127 128 129 255 256 257 258 511 512 513 768 1025 " 1 + below(most))
    every = 1 + below(yes(50) ? 1 : layers < 3 ? layers : 3)
    first = yes(70) ? 0 : below(layers)
    all_roll = every == 1 && first == 0 || layers == 1
    print "    window = { size = " win ", first = " first ", every = " every " }," > spec
}

function caps()
{
    if (yes(60))
        return
    print "    softcap = { " (yes(70) ? "attn = " one_of("0.5 5 50") ", " : "") \
        (yes(50) ? "final = " one_of("0.5 5 30") : "") " }," > spec
}

# Sizes are cut so that a case takes seconds: 'work' is attention's products per pair of tokens.
function model(    layers, kv, gqa, dim, work, most, packed_qkv, packed_mlp)
{
    layers = 1 + below(yes(50) ? 4 : 9)
    kv = one_of("1 2 3 5 8")
    gqa = 1 + below(8)
    dim = one_of("16 32 48 64 96 128 256")
    while (kv * gqa * dim > 1536 && gqa > 1)
        gqa--
    work = layers * kv * gqa * dim
    most = int(sqrt(1.2e10 / work))
    vocab = one_of("2 3 17 63 64 65 128 " 2 + below(699) " " 2 + below(699))
    numerics = one_of("bf16 bf16 bf16 f32")
    packed_qkv = yes(30)
    packed_mlp = yes(30)
    make_family(packed_qkv, packed_mlp)
    print "-- random model " n " of seed " seed > spec
    print "return {\n    family = \"random\"," > spec
    print "    layers = " layers ", hidden = " multiple(16, 320) ", heads = " kv * gqa "," > spec
    print "    kv_heads = " kv ", head_dim = " dim ", ffn = " multiple(16, 320) "," > spec
    print "    vocab = " vocab ", ctx = 8192, norm_eps = 1e-5, rope = { " rope(dim) " }," > spec
    print "    act = \"" one_of("silu gelu_tanh") "\", qkv_bias = " (packed_qkv ? "false" : bool(40)) "," > spec
    tied = bool(50)
    print "    o_bias = " bool(30) ", mlp_bias = " (packed_mlp ? "false" : bool(30)) ", tied = " tied "," > spec
    window(layers, most)
    caps()
    if (yes(30))
        print "    query_pre_attn_scalar = " one_of("0.5 100 256") "," > spec
    print "}" > spec
    print "kv_heads=" kv " layers=" layers " tied=" tied " vocab=" vocab " numerics=" numerics " most=" most " win=" win " all_roll=" all_roll
}

function tokens(most,    n)
{
    n = one_of("1 2 127 128 129 255 256 257 511 512 513 768 1024 1025")
    n = yes(30) ? most - below(most / 4 + 1) : yes(60) ? 1 + below(most) : n
    return n > most ? most : n
}

function divisor(k,    d)
{
    do
        d = 1 + below(k)
    while (k % d)
    return d
}

# The sequence does not always fill the context, and its tail is decoded.
function lengths(    used)
{
    ctx = tokens(most > 5000 ? 5000 : most)
    used = yes(60) ? ctx : 1 + below(ctx)
    decode = yes(10) ? used : yes(20) ? 0 : below(used < 40 ? used : 40)
    if (decode > 300)
        decode = used = 300
    rewind = yes(40) && used > decode ? 1 + below(used - decode) : 0
    return used
}

# The most streamed layers in a panel where 'kept' of all are resident.
function in_panel(panel, kept,    l, n, most)
{
    for (l = 0; l < layers; l++) {
        if (l % panel == 0)
            n = 0
        n += int((l + 1) * kept / layers) == int(l * kept / layers)
        most = n > most ? n : most
    }
    return most
}

# Panels, streamed weights and places; several panels need a ring that holds a panel's layers.
function deep(    panel, kept, slots, o)
{
    panel = yes(50) ? layers : 1 + below(layers)
    kept = yes(40) ? layers : below(layers)
    slots = 2 + below(3)
    if (panel < layers && slots < in_panel(panel, kept))
        slots = in_panel(panel, kept)
    if (slots > layers - kept || slots > 64 || slots < 2)
        slots = 0
    if (panel < layers && !slots && in_panel(panel, kept) > 2)
        panel = layers
    o = " --panel " panel " --weights " kept (slots ? " --weight-slots " slots : "")
    if (panel < layers)
        o = o " --hidden " one_of("device host")
    if (tied == "false" && yes(40))
        o = o " --embed " one_of("device host")
    return o
}

function plan(    used, options, run)
{
    used = lengths()
    budget = one_of("min min min 1.02 1.1 1.3 1.7 2.5 none none")
    options = (yes(50) ? " --tile " 256 * (1 + below(yes(70) ? 3 : 12)) : "") \
        (yes(40) ? " --chunk " 128 * (1 + below(yes(70) ? 4 : 40)) : "") \
        (yes(40) ? " --group " divisor(kv_heads) : "") \
        (yes(40) ? " --slots " 3 + below(yes(70) ? 4 : 62) : "") \
        (yes(50) ? deep() : "") (yes(30) ? " --bands " 1 + below(4) : "") \
        (yes(20) ? " --for " one_of("prefill decode") : "") \
        ((budget == "none" || yes(60)) && !(all_roll && win < ctx) ? " --resident " below(yes(80) ? 3 : 30) : "")
    run = "threads=" one_of("1 2 3 4 7 16") \
        (yes(50) ? " rows=" 1 + below(yes(30) ? 20 : 700) : "") \
        (yes(20) ? " gbps=" one_of("0.05 0.3 2") : "") (rewind ? " rewind=" rewind : "")
    print "ctx=" ctx " used=" used " decode=" decode " budget=" budget " logits=" \
        one_of("all last") " options='" options "' run='" run "' isa=" \
        one_of("best best best portable avx2 avx512 avx512bf16 amx")
}

BEGIN {
    state = (seed * 7919 + n * 104729 + (what == "plan") * 15485863) % 2147483646 + 1
    for (i = 0; i < 20; i++)
        below(2)
    if (what == "model")
        model()
    else
        plan()
}
