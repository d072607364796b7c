//! Long texts that a program carries and seldom reads: they lie compressed in it. `build.rs` packs
//! them and has their names.

use flate2::read::DeflateDecoder;
use std::io::Read;

/// A text, packed; made by [`packed!`].
#[derive(Debug, Clone, Copy)]
pub struct Packed(pub &'static [u8]);

impl Packed {
    /// The text. It is unpacked at each call: who needs it often keeps it.
    pub fn text(self) -> String {
        let mut text = String::new();
        // The build packed it from UTF-8, and tests read every one.
        DeflateDecoder::new(self.0).read_to_string(&mut text).map(|_| text).unwrap_or_default()
    }
}

/// The text that `build.rs` packed by that name.
macro_rules! packed {
    ($name:literal) => {
        $crate::model::packed::Packed(include_bytes!(concat!(env!("OUT_DIR"), "/", $name)))
    };
}
pub(crate) use packed;
