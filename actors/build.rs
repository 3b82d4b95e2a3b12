//! Finds libxml2, libxslt and libexslt for the feature `xslt`, and compiles the few lines of C beside the binding.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "xslt")]
    xslt();
}

#[cfg(feature = "xslt")]
fn xslt() {
    println!("cargo::rerun-if-changed=src/xml/libxml.c");
    let mut shim = cc::Build::new();
    shim.file("src/xml/libxml.c");
    // `probe` prints the link flags in this order, and what is used must come last: libexslt needs the others.
    for (name, version) in [("libexslt", "0.8.20"), ("libxslt", "1.1.34"), ("libxml-2.0", "2.9.11")] {
        match pkg_config::Config::new().atleast_version(version).probe(name) {
            Ok(library) => {
                shim.includes(library.include_paths);
            }
            Err(_) => missing(name, version),
        }
    }
    shim.compile("playhouse_xml");
}

#[cfg(feature = "xslt")]
fn missing(name: &str, version: &str) -> ! {
    eprintln!(
        "the feature `xslt` needs `{name}` {version} or later, found through pkg-config: install `libxml2-dev \
         libxslt1-dev pkg-config` (or your system's names for them), or build with `--no-default-features`"
    );
    std::process::exit(1);
}
