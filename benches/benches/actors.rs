//! What single actors do, beside programs of others that do the same. Larger is better.

use std::error::Error;

use playhouse_benches::actors::router;

fn main() -> Result<(), Box<dyn Error>> {
    Ok(router::race()?)
}
