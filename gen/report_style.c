/*
** report_style.c - the look of report.html: type, colours of light and dark, narrow pages.
**
** A colour means one thing everywhere: w weights, k keys and values, a activations, l a limit,
** p prefill, d decode. Other classes of charts: m muted, s small, b bold, e and c text that ends
** or is centred at x, f faint, o an open dot, x a lane's ground, r a rule that is seen, y and yw
** what waits in a slot, h a dashed line, q a roof. Of tables: n a number, g after a number,
** t the total.
*/
#include "report.h"

/* clang-format off */
const char REPORT_STYLE[] =
    ":root{--bg:#fff;--ink:#1b1f24;--mute:#626b76;--rule:#e2e5e9;--soft:#f5f6f8;\n"
    "--w:#4a76b5;--k:#1f8f82;--a:#c9821b;--l:#b8342a;--p:#7248ad;--d:#b83a62}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#14161a;--ink:#e4e7ea;--mute:#98a1ab;\n"
    "--rule:#2c3138;--soft:#1c1f25;\n"
    "--w:#7aa5e0;--k:#45b9a9;--a:#e0a348;--l:#f07a6d;--p:#b096e6;--d:#ec7f9e}}\n"
    /* the page */
    "*{box-sizing:border-box}\n"
    "html{-webkit-text-size-adjust:100%}\n"
    "body{margin:0 auto;max-width:860px;padding:40px 24px 72px;\n"
    "background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,\"Segoe UI\",\n"
    "Roboto,\"Helvetica Neue\",Arial,sans-serif;font-variant-numeric:tabular-nums}\n"
    "h1{font-size:28px;line-height:1.2;margin:0 0 4px;letter-spacing:-.01em}\n"
    "h2{font-size:18px;line-height:1.3;margin:56px 0 4px}\n"
    "h3{font-size:13px;font-weight:600;margin:24px 0 4px;color:var(--mute)}\n"
    "p{margin:4px 0 12px;max-width:66ch}\n"
    "code{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,\"DejaVu Sans Mono\",\n"
    "monospace;overflow-wrap:anywhere;color:var(--mute)}\n"
    ".sub{color:var(--mute)}\n"
    ".note{color:var(--mute);font-size:13px;line-height:1.45}\n"
    "i{font-style:normal;font-weight:600}\n"
    "i.w{color:var(--w)}i.k{color:var(--k)}i.a{color:var(--a)}\n"
    "i.p{color:var(--p)}i.d{color:var(--d)}\n"
    /* the figures on top */
    "dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:16px 24px;\n"
    "margin:28px 0 0;padding:16px 0;border-top:1px solid var(--rule);\n"
    "border-bottom:1px solid var(--rule)}\n"
    "dl div{min-width:0}\n"
    "dt{font-size:13px;color:var(--mute)}\n"
    "dd{margin:0;font-size:22px;line-height:1.25;letter-spacing:-.01em}\n"
    "dd small{display:block;font-size:12px;line-height:1.4;color:var(--mute);\n"
    "letter-spacing:0}\n"
    /* charts */
    ".chart{overflow-x:auto;margin:12px 0 8px}\n"
    "svg{display:block;width:100%;min-width:620px;height:auto;font-size:12px}\n"
    ".small{display:none}\n"
    "svg text{fill:var(--ink);paint-order:stroke;stroke:var(--bg);stroke-width:3px;\n"
    "stroke-linejoin:round}\n"
    "svg .m{fill:var(--mute)}svg .s{font-size:11px}svg .b{font-weight:600}\n"
    "svg .e{text-anchor:end}svg .c{text-anchor:middle}\n"
    "svg .tl{fill:var(--l)}svg .tp{fill:var(--p)}svg .td{fill:var(--d)}\n"
    ".w{fill:var(--w)}.k{fill:var(--k)}.a{fill:var(--a)}.p{fill:var(--p)}.d{fill:var(--d)}\n"
    ".f{fill-opacity:.3}.x{fill:var(--soft)}\n"
    ".o.p,.o.d{fill:var(--bg);stroke-width:1.6}\n"
    ".o.p{stroke:var(--p)}.o.d{stroke:var(--d)}\n"
    "line{stroke:var(--rule)}line.r{stroke:var(--mute)}\n"
    "line.l{stroke:var(--l);stroke-width:1.5}\n"
    "line.y{stroke:var(--k);stroke-width:1.5}line.yw{stroke:var(--w);stroke-width:1.5}\n"
    "path.p,path.d{fill:none;stroke-width:2;stroke-linejoin:round}\n"
    "path.p{stroke:var(--p)}path.d{stroke:var(--d)}\n"
    "path.h{fill:none;stroke:var(--mute);stroke-dasharray:3 3}\n"
    "path.q{fill:none;stroke:var(--ink);stroke-width:1.5}\n"
    /* tables */
    "table{border-collapse:collapse;width:100%;margin:8px 0 12px;font-size:13px;\n"
    "line-height:1.4}\n"
    "th{font-weight:400;color:var(--mute);text-align:left}\n"
    "th,td{padding:5px 12px 5px 0;border-bottom:1px solid var(--rule);vertical-align:top}\n"
    "th:last-child,td:last-child{padding-right:0}\n"
    ".n{text-align:right;white-space:nowrap}\n"
    "td.m{color:var(--mute)}.n+.g{padding-left:16px}\n"
    "tr.t td{font-weight:600}tr.t td.m{font-weight:400}\n"
    /* a phone: wide tables put their last column below the others */
    "@media(max-width:640px){\n"
    "body{padding:24px 16px 48px}h1{font-size:24px}h2{margin-top:44px}\n"
    "dl{grid-template-columns:1fr 1fr}dd{font-size:19px}\n"
    "table{font-size:12px}th,td{padding-right:6px}.n+.g{padding-left:6px}\n"
    ".big{display:none}.small{display:block}.small svg{min-width:0}\n"
    ".wide tr{display:grid;grid-template-columns:4em 1fr 1fr;gap:0 8px;padding:6px 0;\n"
    "border-bottom:1px solid var(--rule)}\n"
    ".wide td,.wide th{border:0;padding:0}\n"
    ".wide td:last-child{grid-column:1/-1}.wide th:last-child{display:none}\n"
    ".why tr{grid-template-columns:2fr 3fr}\n"
    "}\n"
    "@media print{.chart{overflow:visible}svg{min-width:0}h2{break-after:avoid}}\n";
