"""The page's looks: light or dark as the reader's system says; on a phone; printed."""

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --panel: #f6f7f9; --ink: #1b1f24; --soft: #57606a;
  --faint: #c4cad1; --ours: #c2410c; --good: #1a7f37; --bad: #b3261e;
  --series-1: #0072b2; --series-2: #8a6d00; --series-3: #008a63; --series-4: #b4538f;
  --series-5: #2f9ec9; --series-6: #56608f; }
@media screen and (prefers-color-scheme: dark) { :root { --paper: #111418; --panel: #1b2027;
  --ink: #e6e9ed; --soft: #a3adb8; --faint: #4a535e; --ours: #ff8a4c; --good: #5fd07f;
  --bad: #ff8a80;
  --series-1: #5ab4f0; --series-2: #e8bd4a; --series-3: #3fd0a0; --series-4: #e594c6;
  --series-5: #8fd8f5; --series-6: #a7b2e8; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: .4rem 0 0; line-height: 1.25; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p { margin: .4rem 0; max-width: 48rem; }
.soft, small, caption, figcaption { color: var(--soft); }
.cards { display: grid; gap: .7rem; grid-template-columns: repeat(auto-fit, minmax(9.4rem, 1fr));
  margin: 1rem 0; }
.card { background: var(--panel); border-radius: .5rem; padding: .6rem .8rem; }
.card b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; line-height: 1.3; }
.card span { display: block; font-size: .85rem; color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { padding: .3rem .6rem; text-align: right; white-space: nowrap; vertical-align: top;
  border-bottom: 1px solid var(--faint); }
th:first-child, td:first-child { text-align: left; padding-left: 0; position: sticky; left: 0;
  background: var(--paper); }
thead th { font-weight: 600; vertical-align: bottom; }
td small { display: block; font-size: .78rem; line-height: 1.2; font-weight: 400; }
tr.ours td, .better, .worse { font-weight: 600; }
tr.ours td:first-child { color: var(--ours); }
.better { color: var(--good); } .worse { color: var(--bad); }
.plots { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); }
figure { margin: 0; background: var(--panel); border-radius: .5rem; padding: .7rem;
  break-inside: avoid; }
figcaption { font-size: .9rem; margin-bottom: .3rem; }
figure svg { width: 100%; height: auto; display: block; }
svg text { font-family: system-ui, sans-serif !important; }
.prompt { background: var(--panel); border-radius: .5rem; padding: .6rem .8rem; margin: .6rem 0;
  break-inside: avoid; }
.prompt pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .4rem 0 0;
  font: .8rem/1.45 ui-monospace, monospace; }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .25rem 1rem;
  font-size: .92rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
td.text, th.text { text-align: left; white-space: normal; overflow-wrap: anywhere; }
summary { cursor: pointer; color: var(--soft); }
@media (max-width: 34rem) { body { padding: .7rem; } dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .5rem; } .cards { grid-template-columns: 1fr 1fr; } }
@media print { :root { --paper: #fff; --panel: #fff; --ink: #000; --soft: #333; --faint: #ccc;
  --ours: #a33000; } body { max-width: none; padding: 0; font-size: 10pt; }
  .scroll { overflow: visible; } table { font-size: 8pt; } td small { font-size: 6.5pt; }
  th, td { padding: .15rem .3rem; }
  .plots { grid-template-columns: 1fr 1fr; }
  figure, .card, .prompt { border: 1px solid #999; } h2 { break-after: avoid; } }
"""
