//! What a startup value that somebody else chose may hold, by where it goes.
//!
//! | it goes | so it holds no |
//! |---|---|
//! | anywhere | control character |
//! | into an argument that is nothing else | `-`, `+` or `@` at its beginning; `..` |
//! | into a part of an argument | the same, and no `?`, `#`, `&` |
//! | to an engine's console | the same as an argument, and no `;` nor quotes |
//!
//! Maps as they are pass as whole arguments: `/Game/Maps/Arena?listen`, `minecraft:overworld`,
//! `de_dust2,de_inferno`, names with spaces, in any script.

/// Where a value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// An environment variable, or JSON: nothing reads more into it.
    Data,
    /// An argument that is nothing else.
    Argument,
    /// A part of an argument.
    Part,
    /// What an engine takes as commands of its console.
    Console,
}

/// What a value holds that it mustn't there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("it holds a control character")]
    Control,
    #[error("it begins with `{0}`, as an option does")]
    Option(char),
    #[error("it holds `..`")]
    Upwards,
    #[error("it holds `{0}`, which begins another part there")]
    Separator(char),
}

/// Whether the value may go there.
pub fn fits(value: &str, destination: Destination) -> Result<(), Unfit> {
    if value.chars().any(char::is_control) {
        return Err(Unfit::Control);
    }
    let separators: &[char] = match destination {
        Destination::Data => return Ok(()),
        Destination::Argument => &[],
        Destination::Part => &['?', '#', '&'],
        Destination::Console => &[';', '"', '\'', '`'],
    };
    if let Some(first) = value.chars().next().filter(|first| "-+@".contains(*first)) {
        return Err(Unfit::Option(first));
    }
    if value.contains("..") {
        return Err(Unfit::Upwards);
    }
    value.chars().find(|c| separators.contains(c)).map_or(Ok(()), |c| Err(Unfit::Separator(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_as_they_are_pass_and_what_reads_as_more_does_not() {
        use Destination::{Argument, Console, Data, Part};
        type Row = (&'static str, Result<(), Unfit>, [Destination; 4], usize);
        for map in ["/Game/Maps/Arena?listen", "minecraft:overworld", "de_dust2,de_inferno", "two words", "ランド"] {
            fits(map, Argument).unwrap();
        }
        // Into the last so many of these it doesn't go.
        let rows: [Row; 8] = [
            ("a\nb", Err(Unfit::Control), [Data, Argument, Part, Console], 4),
            ("\u{85}", Err(Unfit::Control), [Data, Argument, Part, Console], 4),
            ("+exec", Err(Unfit::Option('+')), [Data, Argument, Part, Console], 3),
            ("-port", Err(Unfit::Option('-')), [Data, Argument, Part, Console], 3),
            ("@file", Err(Unfit::Option('@')), [Data, Argument, Part, Console], 3),
            ("a/../b", Err(Unfit::Upwards), [Data, Argument, Part, Console], 3),
            ("a?b=c", Err(Unfit::Separator('?')), [Data, Argument, Console, Part], 1),
            ("0;set sv_cheats 1", Err(Unfit::Separator(';')), [Data, Argument, Part, Console], 1),
        ];
        for (value, why, order, refused) in rows {
            for (at, destination) in order.into_iter().enumerate() {
                let expected = if at >= order.len() - refused { why } else { Ok(()) };
                assert_eq!(fits(value, destination), expected, "{value:?} as {destination:?}");
            }
        }
    }
}
