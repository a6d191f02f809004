# random_models.awk - random models and plans, as shell assignments.
#
#   awk -v seed=S -v what=model -v n=N [-v spec=FILE] -f random_models.awk    spec N to FILE
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

function rope(    kind, freqs)
{
    kind = one_of("default linear llama3")
    freqs = "kind = \"" kind "\", theta = " one_of("100 10000 500000")
    if (kind != "default")
        freqs = freqs ", factor = " one_of("1.5 4 32")
    if (kind == "llama3")
        freqs = freqs ", low_freq = 1, high_freq = 4, orig_ctx = " one_of("64 1000 8192")
    return freqs
}

# Sizes are cut so that a case takes seconds: 'work' is attention's products per pair of tokens.
function model(    layers, kv, gqa, dim, work, most)
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
    print "-- random model " n " of seed " seed > spec
    print "return {\n    family = \"llama\"," > spec
    print "    layers = " layers ", hidden = " multiple(16, 320) ", heads = " kv * gqa "," > spec
    print "    kv_heads = " kv ", head_dim = " dim ", ffn = " multiple(16, 320) "," > spec
    print "    vocab = " vocab ", ctx = 8192, norm_eps = 1e-5, rope = { " rope() " }," > spec
    print "    act = \"" one_of("silu gelu_tanh") "\", qkv_bias = " bool(40) "," > spec
    tied = bool(50)
    print "    o_bias = " bool(30) ", mlp_bias = " bool(30) ", tied = " tied ",\n}" > spec
    print "kv_heads=" kv " layers=" layers " tied=" tied " vocab=" vocab " numerics=" numerics " most=" most
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
        (budget == "none" || yes(60) ? " --resident " below(yes(80) ? 3 : 30) : "")
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
