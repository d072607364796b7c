//! A body is declared once: [`wire!`] makes of one line a field's type, its bounds, how it is read
//! from a request, how it is written, and its schema in `openapi.json`.
//!
//! ```text
//!   wire! { struct … }  ──►  the struct, with serde       the client writes requests and reads answers
//!                       ──►  Wire::read                   the service reads requests; every fault is located
//!                       ──►  Wire::schema (tests only)    openapi.json, which the programs carry packed
//! ```
//!
//! | kind of field | in the struct | when it is absent |
//! |---|---|---|
//! | `required` | `T` | a fault |
//! | `always` | `T` | a fault in a request; its default in an answer of another service; always written |
//! | `optional` | `Option<T>` | `None`; left out when written |
//! | `default` | `T` | its default; always written |
//! | `sparse` | `T` | its default; left out when written as that |
//!
//! After `=` stands the field's rule ([`rules`]); without one the type's own ([`Wire`]). After `=>`
//! stands a default other than the type's, and in brackets the path of a function that answers it.
//! A name in parentheses is the one on the wire, where that differs. A comment that begins with
//! "Extension" marks the field as one that the published contract doesn't have.
//!
//! Invariants: an absent member and a null are the same; members that nobody knows are passed over;
//! a reader that answers `None` has said why.

mod plain;
pub(crate) mod read;
pub(crate) mod rules;
#[cfg(test)]
pub(crate) mod schema;

pub(crate) use read::{JsonCursor, ValidationErrors};
pub(crate) use rules::Rule;

/// What can be read from a request, and described.
pub trait Wire: Sized {
    /// Reads a value; adds what is wrong with it to `errors` and answers `None`.
    fn read(at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<Self>;
    /// Describes what is read and written. Named schemas go to `schemas`.
    #[cfg(test)]
    fn schema(schemas: &mut schema::Schemas) -> serde_json::Value;
}

/// A struct of [`wire!`]: parameters are read from a query by it.
pub trait Members: Wire {
    /// Every member, in order.
    #[cfg(test)]
    fn members(schemas: &mut schema::Schemas) -> Vec<schema::Member>;
}

/// Whether a `sparse` field is left out.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A default for serde.
pub(crate) fn yes() -> bool {
    true
}

/// Declares a struct of the API; see the module's documentation.
macro_rules! wire {
    (
        $(#[doc = $doc:literal])* $vis:vis struct $name:ident $([$($attribute:meta),*])? { $($fields:tt)* }
    ) => {
        $crate::model::wire::wire! {
            @fields { [$(#[doc = $doc])* $($(#[$attribute])*)?] $vis $name [$($doc)*] } [] [] $($fields)*
        }
    };

    (@fields $head:tt [$($def:tt)*] [$($row:tt)*]
        $(#[doc = $doc:literal])* required $field:ident $(($wire:literal))?: $ty:ty $(= $rule:expr)?; $($rest:tt)*
    ) => {
        $crate::model::wire::wire! { @fields $head
            [$($def)* $(#[doc = $doc])* $(#[serde(rename = $wire)])? pub $field: $ty,]
            [$($row)* {
                required $field [$crate::model::wire::wire!(@name $field $($wire)?)] [$ty]
                [$crate::model::wire::wire!(@rule $($rule)?)] [] [$($doc)*]
            }]
            $($rest)*
        }
    };
    (@fields $head:tt [$($def:tt)*] [$($row:tt)*]
        $(#[doc = $doc:literal])* always $field:ident $(($wire:literal))?: $ty:ty $(= $rule:expr)? $(=> [$path:literal])?;
        $($rest:tt)*
    ) => {
        $crate::model::wire::wire! { @fields $head
            [$($def)* $(#[doc = $doc])* $(#[serde(rename = $wire)])? #[serde(default $(= $path)?)] pub $field: $ty,]
            [$($row)* {
                required $field [$crate::model::wire::wire!(@name $field $($wire)?)] [$ty]
                [$crate::model::wire::wire!(@rule $($rule)?)] [] [$($doc)*]
            }]
            $($rest)*
        }
    };
    (@fields $head:tt [$($def:tt)*] [$($row:tt)*]
        $(#[doc = $doc:literal])* optional $field:ident $(($wire:literal))?: $ty:ty $(= $rule:expr)?; $($rest:tt)*
    ) => {
        $crate::model::wire::wire! { @fields $head
            [$($def)* $(#[doc = $doc])* $(#[serde(rename = $wire)])?
                #[serde(default, skip_serializing_if = "Option::is_none")] pub $field: Option<$ty>,]
            [$($row)* {
                optional $field [$crate::model::wire::wire!(@name $field $($wire)?)] [$ty]
                [$crate::model::wire::wire!(@rule $($rule)?)] [] [$($doc)*]
            }]
            $($rest)*
        }
    };
    (@fields $head:tt [$($def:tt)*] [$($row:tt)*]
        $(#[doc = $doc:literal])* default $field:ident $(($wire:literal))?: $ty:ty $(= $rule:expr)?
        $(=> $default:expr, [$path:literal])?; $($rest:tt)*
    ) => {
        $crate::model::wire::wire! { @fields $head
            [$($def)* $(#[doc = $doc])* $(#[serde(rename = $wire)])? #[serde(default $(= $path)?)] pub $field: $ty,]
            [$($row)* {
                default $field [$crate::model::wire::wire!(@name $field $($wire)?)] [$ty]
                [$crate::model::wire::wire!(@rule $($rule)?)] [$($default)?] [$($doc)*]
            }]
            $($rest)*
        }
    };
    // A parameter of a query: serde doesn't read it.
    (@fields $head:tt [$($def:tt)*] [$($row:tt)*]
        $(#[doc = $doc:literal])* default $field:ident: $ty:ty $(= $rule:expr)? => $default:expr; $($rest:tt)*
    ) => {
        $crate::model::wire::wire! { @fields $head
            [$($def)* $(#[doc = $doc])* pub $field: $ty,]
            [$($row)* {
                default $field [stringify!($field)] [$ty]
                [$crate::model::wire::wire!(@rule $($rule)?)] [$default] [$($doc)*]
            }]
            $($rest)*
        }
    };
    (@fields $head:tt [$($def:tt)*] [$($row:tt)*]
        $(#[doc = $doc:literal])* sparse $field:ident $(($wire:literal))?: $ty:ty $(= $rule:expr)?; $($rest:tt)*
    ) => {
        $crate::model::wire::wire! { @fields $head
            [$($def)* $(#[doc = $doc])* $(#[serde(rename = $wire)])?
                #[serde(default, skip_serializing_if = "crate::model::wire::is_default")] pub $field: $ty,]
            [$($row)* {
                default $field [$crate::model::wire::wire!(@name $field $($wire)?)] [$ty]
                [$crate::model::wire::wire!(@rule $($rule)?)] [] [$($doc)*]
            }]
            $($rest)*
        }
    };

    (@fields { [$($head:tt)*] $vis:vis $name:ident [$($about:literal)*] } [$($def:tt)*]
        [$({ $kind:ident $field:ident [$wire:expr] [$ty:ty] [$rule:expr] [$($default:expr)?] [$($doc:literal)*] })*]
    ) => {
        $($head)*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        $vis struct $name { $($def)* }

        impl $crate::model::wire::Wire for $name {
            fn read(
                at: $crate::model::wire::JsonCursor<'_>,
                errors: &mut $crate::model::wire::ValidationErrors,
            ) -> Option<Self> {
                #[allow(unused_mut, unused_variables, reason = "a struct may have no members")]
                let mut object = at.object(errors)?;
                $(let $field: Option<$ty> = $crate::model::wire::wire!(@read object $kind $wire, $rule);)*
                Some($name { $($field: $crate::model::wire::wire!(@take $kind $field $($default)?)),* })
            }
            #[cfg(test)]
            fn schema(schemas: &mut $crate::model::wire::schema::Schemas) -> serde_json::Value {
                let about = $crate::model::wire::schema::text(&[$($about),*]);
                schemas.named(stringify!($name), |schemas| {
                    $crate::model::wire::schema::object(&about, <$name as $crate::model::wire::Members>::members(schemas))
                })
            }
        }

        impl $crate::model::wire::Members for $name {
            #[cfg(test)]
            fn members(
                #[allow(unused_variables, reason = "a struct may have no members")]
                schemas: &mut $crate::model::wire::schema::Schemas,
            ) -> Vec<$crate::model::wire::schema::Member> {
                vec![$($crate::model::wire::schema::Member {
                    name: $wire,
                    required: stringify!($kind) == "required",
                    schema: $crate::model::wire::Rule::<$ty>::schema(&$rule, schemas),
                    about: $crate::model::wire::schema::text(&[$($doc),*]),
                    default: $crate::model::wire::wire!(@described $kind $ty, $($default)?),
                }),*]
            }
        }
    };

    (@name $field:ident $wire:literal) => { $wire };
    (@name $field:ident) => { stringify!($field) };
    (@rule $rule:expr) => { $rule };
    (@rule) => { $crate::model::wire::rules::Own };
    (@read $object:ident required $wire:expr, $rule:expr) => { $object.required($wire, &$rule) };
    (@read $object:ident $kind:ident $wire:expr, $rule:expr) => { $object.optional($wire, &$rule) };
    (@take required $field:ident) => { $field? };
    (@take optional $field:ident) => { $field };
    (@take default $field:ident) => { $field.unwrap_or_default() };
    (@take default $field:ident $default:expr) => { $field.unwrap_or($default) };
    (@described default $ty:ty, $default:expr) => { serde_json::to_value({ let value: $ty = $default; value }).ok() };
    (@described default $ty:ty,) => { serde_json::to_value(<$ty>::default()).ok() };
    (@described $kind:ident $ty:ty,) => { None };
}

/// Makes enums that serde knows by words readable and describable.
macro_rules! words {
    ($($name:ty),* $(,)?) => {$(
        impl $crate::model::wire::Wire for $name {
            fn read(
                at: $crate::model::wire::JsonCursor<'_>,
                errors: &mut $crate::model::wire::ValidationErrors,
            ) -> Option<Self> {
                $crate::model::wire::rules::word(at, errors)
            }
            #[cfg(test)]
            fn schema(schemas: &mut $crate::model::wire::schema::Schemas) -> serde_json::Value {
                schemas.words::<$name>()
            }
        }
    )*};
}

pub(crate) use {wire, words};

#[cfg(test)]
mod tests {
    use super::{rules::*, schema::Schemas, *};
    use serde_json::json;

    wire! {
        /// A thing of this test.
        struct Thing {
            /// What it is called.
            optional name: String = text(1, 4);
            default size: u32 = whole(1, 9) => 5, ["five"];
            sparse parts: Vec<Part> = list(0, 2);
            optional at: crate::model::time::Timestamp;
        }
    }
    fn five() -> u32 {
        5
    }
    wire! {
        /// A part.
        struct Part {
            required weight ("w"): u32 = whole(0, 3);
            /// Extension: who made it.
            optional maker: String = any_text();
        }
    }

    fn read(value: &serde_json::Value) -> Result<Thing, Vec<String>> {
        let mut errors = ValidationErrors::default();
        match Thing::read(JsonCursor::body(value), &mut errors) {
            Some(thing) if errors.0.is_empty() => Ok(thing),
            _ => Err(errors.0.iter().map(|fault| json!(fault.loc).to_string()).collect()),
        }
    }

    #[test]
    fn one_declaration_reads_writes_and_describes() {
        let given = json!({"name": "x", "parts": [{"w": 3, "maker": "m"}], "unknown": 1, "at": null});
        let thing = read(&given).unwrap();
        assert_eq!((thing.size, thing.parts[0].weight), (5, 3));
        let written = json!({"name": "x", "size": 5, "parts": [{"w": 3, "maker": "m"}]});
        assert_eq!(serde_json::to_value(&thing).unwrap(), written);
        assert_eq!(serde_json::from_value::<Thing>(written).unwrap(), thing);
        let mut schemas = Schemas::default();
        assert_eq!(Thing::schema(&mut schemas), json!({"$ref": "#/components/schemas/Thing"}));
        let described = schemas.into_json();
        assert_eq!(
            described["Thing"]["properties"]["size"],
            json!({"type": "integer", "minimum": 1, "maximum": 9, "default": 5})
        );
        assert_eq!(described["Part"]["required"], json!(["w"]));
        assert_eq!(described["Part"]["properties"]["maker"]["x-extension"], true);
    }

    #[test]
    fn every_fault_is_found_and_located() {
        let bad = json!({"name": "", "size": 10, "parts": [{}, {"w": 4}], "at": "2026-01-01T00:00:00"});
        let faults = read(&bad).unwrap_err();
        let expected = [
            r#"["body","name"]"#,
            r#"["body","size"]"#,
            r#"["body","parts",0,"w"]"#,
            r#"["body","parts",1,"w"]"#,
            r#"["body","at"]"#,
        ];
        assert_eq!(faults, expected);
        assert_eq!(read(&json!([])).unwrap_err(), [r#"["body"]"#]);
        assert_eq!(read(&json!({"parts": [1, 2, 3]})).unwrap_err(), [r#"["body","parts"]"#]);
    }

    #[test]
    fn a_null_is_an_absent_member() {
        let thing = read(&json!({"name": null, "parts": null})).unwrap();
        assert_eq!((thing.name, thing.parts.len()), (None, 0));
    }

    #[test]
    fn parameters_are_text() {
        let query = [("size", "7"), ("size", "8"), ("name", "ab")].map(|(key, value)| (key.into(), value.into()));
        let parameters = read::parameters(&query);
        let mut errors = ValidationErrors::default();
        let thing = Thing::read(JsonCursor::query(&parameters), &mut errors).unwrap();
        assert_eq!((thing.size, thing.name.as_deref()), (7, Some("ab")), "the first of two counts");
        let bad = read::parameters(&[("size".to_owned(), "1e1".to_owned())]);
        Thing::read(JsonCursor::query(&bad), &mut errors);
        assert_eq!(json!(errors.0[0].loc), json!(["query", "size"]));
    }

    #[test]
    fn date_times_need_an_offset_or_are_unix_seconds() {
        let rows = [
            (json!("2026-01-01T00:00:00+01:00"), true),
            (json!("2026-01-01T00:00:00Z"), true),
            (json!(1_767_225_600), true),
            (json!("2026-01-01T00:00:00"), false),
            (json!("1767225600"), true),
            (json!("yesterday"), false),
        ];
        for (value, good) in rows {
            assert_eq!(read(&json!({ "at": value })).is_ok(), good, "{value}");
        }
    }
}
