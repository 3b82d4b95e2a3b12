//! Files beside the standard library by hand: lines/s and MiB/s, where larger is better.
//!
//! They lie in `TMPDIR`: what a disk of its own does there is measured too.

fn main() -> std::io::Result<()> {
    playhouse_benches::files::race()
}
