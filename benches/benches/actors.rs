//! What single actors do, beside programs of others or what one would write by hand.
//!
//! Lines `RATIO <case> <ours> <peer> <theirs> <ours/theirs>`, where larger is better, and `FIGURE <case> <value> <unit> <limit>`,
//! where the value should be below the limit.

use std::error::Error;

use playhouse_benches::actors::{convert, join, router, validate};

fn main() -> Result<(), Box<dyn Error>> {
    if join::as_child()? {
        return Ok(());
    }
    convert::race()?;
    validate::race()?;
    router::race()?;
    join::race();
    Ok(())
}
