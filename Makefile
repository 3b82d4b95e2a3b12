# `make run` runs the orders example, `make test` every test, `make bench` every figure. Each installs what is missing.

.PHONY: run test bench

run:
	scripts/install
	cargo run --release --example orders

# The benches hold no tests, and their peers' crates are many.
test:
	scripts/install
	cargo test --workspace --exclude playhouse-benches
	cargo test -p playhouse-mdp --features zeromq --test transport

bench:
	scripts/install bench
	cargo bench -p playhouse-benches --bench actors
	cargo bench -p playhouse-benches --bench hop
	cargo bench -p playhouse-benches --bench fan_out
	cargo bench -p playhouse-benches --bench files
	cargo bench -p playhouse-benches --bench http
	cargo bench -p playhouse-benches --bench live
	cargo bench -p playhouse-benches --bench mdp
	cargo bench -p playhouse-benches --bench tcp
	cargo bench -p playhouse-benches --bench memory
	cargo bench -p playhouse-benches --bench upload
