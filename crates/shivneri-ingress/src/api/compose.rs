//! A message as JSON, read into a draft.

use std::{collections::BTreeMap, fmt, marker::PhantomData, time::SystemTime};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};
use shivneri_core::{
    OnDoubt,
    draft::{AddressText, AttachmentDraft, Draft},
};

use super::times;
use crate::problem::{Code, Problem};

/// Reads one JSON object.
///
/// # Errors
///
/// 400 where it is no JSON, with line and column; 422 where a field doesn't fit, with its path.
pub(super) fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize::<_, Object<T>>(&mut reader);
    let Object(value) = read.map_err(|error| {
        let path = error.path().to_string();
        problem(if path == "." { "body" } else { &path }, error.inner())
    })?;
    reader.end().map_err(|error| problem("body", &error))?;
    Ok(value)
}

fn problem(path: &str, error: &serde_json::Error) -> Problem {
    use serde_json::error::Category;
    // What was sent is echoed in some of serde's reasons; a long text is cut.
    let reason: String = error.to_string().chars().take(300).collect();
    match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => {
            Problem::new(Code::NotJson, format!("not JSON: {reason}"))
        }
        Category::Data => Problem::field(path, reason),
    }
}

/// Reads a message.
///
/// # Errors
///
/// As [`object`].
pub(super) fn draft(body: &[u8]) -> Result<Draft, Problem> {
    object::<Message>(body).map(Message::into_draft)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Message {
    from: Option<Address>,
    to: Option<Vec<Address>>,
    cc: Option<Vec<Address>>,
    bcc: Option<Vec<Address>>,
    reply_to: Option<Vec<Address>>,
    subject: Option<String>,
    text: Option<String>,
    html: Option<String>,
    headers: Option<Texts>,
    attachments: Option<Vec<Object<File>>>,
    tags: Option<Vec<String>>,
    metadata: Option<Texts>,
    lane: Option<String>,
    send_at: Option<Time>,
    expires_at: Option<Time>,
    on_doubt: Option<OnDoubt>,
    providers: Option<Vec<String>>,
}

impl Message {
    fn into_draft(self) -> Draft {
        let addresses = |list: Option<Vec<Address>>| {
            list.unwrap_or_default().into_iter().map(|address| address.0).collect()
        };
        let files = self.attachments.unwrap_or_default();
        Draft {
            from: self.from.map(|from| from.0),
            to: addresses(self.to),
            cc: addresses(self.cc),
            bcc: addresses(self.bcc),
            reply_to: addresses(self.reply_to),
            subject: self.subject.unwrap_or_default(),
            text: self.text,
            html: self.html,
            headers: self.headers.unwrap_or_default().0,
            attachments: files.into_iter().map(|file| file.0.into_draft()).collect(),
            tags: self.tags.unwrap_or_default(),
            metadata: self.metadata.unwrap_or_default().0,
            lane: self.lane,
            send_at: self.send_at.map(|time| time.0),
            expires_at: self.expires_at.map(|time| time.0),
            on_doubt: self.on_doubt,
            providers: self.providers,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    filename: String,
    content_type: Option<String>,
    content: Content,
    content_id: Option<String>,
}

impl File {
    fn into_draft(self) -> AttachmentDraft {
        let unnamed = || "application/octet-stream".to_owned();
        AttachmentDraft {
            filename: self.filename,
            content_type: self.content_type.unwrap_or_else(unnamed),
            content: self.content.0,
            content_id: self.content_id,
        }
    }
}

/// A JSON object and nothing else: derived readers would take an array for a struct as well.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

/// RFC 5322 text, or `{"email", "name"}`.
struct Address(AddressText);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    email: String,
    name: Option<String>,
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EitherForm;
        impl<'de> Visitor<'de> for EitherForm {
            type Value = AddressText;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address as text, or an object with email and name")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<AddressText, E> {
                Ok(AddressText::Text(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AddressText, A::Error> {
                let Parts { email, name } = Parts::deserialize(MapAccessDeserializer::new(map))?;
                Ok(AddressText::Parts { email, name })
            }
        }
        deserializer.deserialize_any(EitherForm).map(Self)
    }
}

/// Pairs of text; a name that comes twice is refused, since one of both would be lost.
#[derive(Default)]
struct Texts(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = BTreeMap<String, String>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    let value = map.next_value()?;
                    if pairs.contains_key(&name) {
                        return Err(de::Error::custom(format_args!("{name:?} is there twice")));
                    }
                    pairs.insert(name, value);
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(Pairs).map(Self)
    }
}

/// Base64, decoded straight from the request's bytes.
struct Content(Bytes);

/// Padding may be left out, as some clients do.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Encoded;
        impl Visitor<'_> for Encoded {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64 text")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                let decoded = if text.contains(['\r', '\n']) {
                    // Folded, as in MIME (RFC 2045 section 6.8).
                    BASE64.decode(text.replace(['\r', '\n'], ""))
                } else {
                    BASE64.decode(text)
                };
                decoded.map(Bytes::from).map_err(|e| E::custom(format_args!("not base64: {e}")))
            }
        }
        deserializer.deserialize_str(Encoded).map(Self)
    }
}

struct Time(SystemTime);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        times::read(&text).map(Self).map_err(de::Error::custom)
    }
}
