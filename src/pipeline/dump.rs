//! What SIGCONT asks for: what is held and where, in the shape of Fluent Bit's dump, with the outputs behind it.

use std::fmt::Write as _;

use crate::telemetry::View;

/// The text, for standard error.
pub(super) fn text(view: &View) -> String {
    let mut text = format!(
        "[{}] Fluent Bit Dump\n\n===== Input =====\n",
        jiff::Zoned::now().strftime("%Y/%m/%d %H:%M:%S")
    );
    let mut total = 0;
    // Writing to a string cannot fail.
    for input in &view.inputs {
        let (name, plugin, holding) = (input.ledger.name(), &input.plugin, (input.holding)());
        let (chunks, limit, size) = (holding.batches, holding.limit, holding.bytes);
        let (busy, busy_size) = holding.sealed;
        let overlimit = if holding.paused { "yes" } else { "no" };
        total += chunks;
        let _ = write!(
            text,
            "{name} ({plugin})\n│\n\
             ├─ status\n│  └─ overlimit     : {overlimit}\n\
             │     ├─ mem size   : {size} bytes\n│     └─ mem limit  : {limit} bytes\n│\n\
             ├─ tasks\n│  ├─ total tasks   : {busy}\n│  └─ size          : {busy_size} bytes\n│\n\
             └─ chunks\n   └─ total chunks  : {chunks}\n      ├─ up chunks  : {chunks}\n      ├─ down chunks: 0\n      \
             └─ busy chunks: {busy}\n         └─ size    : {busy_size} bytes\n\n"
        );
    }
    let _ = write!(
        text,
        "===== Storage Layer =====\ntotal chunks     : {total}\n├─ mem chunks    : {total}\n└─ fs chunks     : 0\n\n\
         ===== Output =====\n"
    );
    for output in &view.outputs {
        let (ledger, plugin) = (&output.ledger, &output.plugin);
        let (name, held, delivered) = (ledger.name(), ledger.held(), ledger.delivered().0);
        let _ = write!(
            text,
            "{name} ({plugin})\n├─ held records     : {held}\n└─ delivered records: {delivered}\n\n"
        );
    }
    let (used, limit) = ((view.memory_used)(), view.memory_limit);
    let _ = writeln!(text, "memory: {used} of {limit} bytes");
    text
}
