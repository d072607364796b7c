//! Packs the long texts that the programs carry, so that they take a tenth of the room;
//! `src/model/packed.rs` unpacks them.

use flate2::{Compression, write::DeflateEncoder};
use std::{env, fs, io::Write, path::Path};

/// The name in the program, and the file.
const TEXTS: [(&str, &str); 4] = [
    ("service-openapi", "src/service/openapi/openapi.json"),
    ("native-openapi", "src/frontends/native/openapi.json"),
    ("agent-schema", "src/agent/config/schema.json"),
    ("service-schema", "src/service/settings.json"),
];

fn main() {
    let out = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    println!("cargo::rerun-if-changed=build.rs");
    for (name, file) in TEXTS {
        println!("cargo::rerun-if-changed={file}");
        let text = fs::read(file).unwrap_or_else(|error| panic!("{file}: {error}"));
        let mut packed = DeflateEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&text).expect("a vector takes everything");
        let packed = packed.finish().expect("a vector takes everything");
        fs::write(Path::new(&out).join(name), packed).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}
