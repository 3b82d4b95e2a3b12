//! What a join of a million open events costs: lines `FIGURE <case> <value> <unit> <limit>`, where the value should be below the
//! limit, and `RATIO <case> <ours> <peer> <theirs> <ratio>` beside a `HashMap` by hand.

use std::io;
use std::time::Duration;

use playhouse_benches::actors::join;
use playhouse_benches::{Race, wanted};

fn main() -> io::Result<()> {
    if join::as_child()? {
        return Ok(());
    }
    if wanted("join-open-event") {
        println!("FIGURE join-open-event {:.1} bytes 400", join::bytes_each("ours"));
        eprintln!("a plain HashMap of the same takes {:.1} bytes each", join::bytes_each("map"));
    }
    if wanted("join-thousand-pairs") {
        let race = Race::new("join-thousand-pairs", "thousand pairs/s");
        race.ours("", join::our_rate).peer("hashmap", join::map_rate).run(Duration::from_secs(30), 7);
    }
    Ok(())
}
