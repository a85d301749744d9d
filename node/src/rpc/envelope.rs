//! JSON-RPC 2.0 as CometBFT v0.38 speaks it: requests, parameters of both forms, answers, error codes.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::api::ApiError;

/// Requests in one batch.
pub(super) const MAX_BATCH: usize = 10;

/// A failure as the caller sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RpcError {
    pub code: i64,
    pub message: &'static str,
    pub data: String,
}

impl RpcError {
    pub(super) fn parse(data: impl Into<String>) -> RpcError {
        RpcError {
            code: -32700,
            message: "Parse error. Invalid JSON",
            data: data.into(),
        }
    }

    pub(super) fn invalid_request(data: impl Into<String>) -> RpcError {
        RpcError {
            code: -32600,
            message: "Invalid Request",
            data: data.into(),
        }
    }

    pub(super) fn no_method(name: &str) -> RpcError {
        let data = name.chars().take(64).collect();
        RpcError {
            code: -32601,
            message: "Method not found",
            data,
        }
    }

    pub(super) fn invalid_params(data: impl Into<String>) -> RpcError {
        RpcError {
            code: -32602,
            message: "Invalid params",
            data: data.into(),
        }
    }

    pub(super) fn internal(data: impl Into<String>) -> RpcError {
        RpcError {
            code: -32603,
            message: "Internal error",
            data: data.into(),
        }
    }

    pub(super) fn to_json(&self, id: &Value) -> Value {
        let error = json!({ "code": self.code, "message": self.message, "data": self.data });
        json!({ "jsonrpc": "2.0", "id": id, "error": error })
    }
}

impl From<ApiError> for RpcError {
    fn from(error: ApiError) -> RpcError {
        RpcError::internal(error.to_string())
    }
}

/// A request that is one. `id` is `None` for a notification, which gets no answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    pub id: Option<Value>,
    pub method: String,
    pub params: RawParams,
}

/// Parameters before the method's names are known.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum RawParams {
    Named(Map<String, Value>),
    Positional(Vec<Value>),
    /// From a URI: texts as they stand there, quotes included.
    Uri(BTreeMap<String, String>),
}

impl Request {
    /// Reads one request of a body or a frame.
    pub(super) fn parse(value: Value) -> Result<Request, (Value, RpcError)> {
        let Value::Object(mut fields) = value else {
            return Err((
                Value::Null,
                RpcError::invalid_request("a request is a JSON object"),
            ));
        };
        let id = match fields.remove("id") {
            None => None,
            Some(id @ (Value::String(_) | Value::Null)) => Some(id),
            Some(Value::Number(number)) if number.is_i64() || number.is_u64() => {
                Some(Value::Number(number))
            }
            Some(_) => {
                let text = "an id is a string or a whole number of at most 64 bits";
                return Err((Value::Null, RpcError::invalid_request(text)));
            }
        };
        if id
            .as_ref()
            .and_then(Value::as_str)
            .is_some_and(|text| text.len() > 256)
        {
            return Err((
                Value::Null,
                RpcError::invalid_request("an id has at most 256 bytes"),
            ));
        }
        let shown = id.clone().unwrap_or(Value::Null);
        let Some(Value::String(method)) = fields.remove("method") else {
            return Err((shown, RpcError::invalid_request("a request names a method")));
        };
        let params = match fields.remove("params") {
            None | Some(Value::Null) => RawParams::Named(Map::new()),
            Some(Value::Object(named)) => RawParams::Named(named),
            Some(Value::Array(list)) => RawParams::Positional(list),
            Some(_) => {
                return Err((
                    shown,
                    RpcError::invalid_params("params are an object or an array"),
                ));
            }
        };
        Ok(Request { id, method, params })
    }
}

/// Parameters of a method whose names are known.
pub(super) struct Params {
    named: Map<String, Value>,
    from_uri: bool,
}

impl Params {
    /// Matches raw parameters with the method's names. Unknown names are ignored, as CometBFT does.
    pub(super) fn of(raw: RawParams, names: &[&str]) -> Result<Params, RpcError> {
        match raw {
            RawParams::Named(named) => Ok(Params {
                named,
                from_uri: false,
            }),
            RawParams::Positional(list) if list.len() == names.len() || list.is_empty() => {
                let named = names
                    .iter()
                    .map(|name| (*name).to_owned())
                    .zip(list)
                    .collect();
                Ok(Params {
                    named,
                    from_uri: false,
                })
            }
            RawParams::Positional(list) => Err(RpcError::invalid_params(format!(
                "expected {} parameters ({}), got {}",
                names.len(),
                names.join(", "),
                list.len()
            ))),
            RawParams::Uri(texts) => {
                let named = texts
                    .into_iter()
                    .map(|(name, text)| (name, Value::String(text)))
                    .collect();
                Ok(Params {
                    named,
                    from_uri: true,
                })
            }
        }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.named.get(name).filter(|value| !value.is_null())
    }

    fn bad(name: &str, expected: &str) -> RpcError {
        RpcError::invalid_params(format!("{name}: expected {expected}"))
    }

    /// A whole number of at least 0; absent, null, or empty is `None`.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, RpcError> {
        let bad = || Params::bad(name, "a whole number of at least 0, as text or number");
        match self.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => number.as_u64().map(Some).ok_or_else(bad),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => unquoted(text).parse().map(Some).map_err(|_| bad()),
            Some(_) => Err(bad()),
        }
    }

    pub(super) fn boolean(&self, name: &str) -> Result<bool, RpcError> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(Value::String(text)) if self.from_uri => match text.as_str() {
                "true" | "1" => Ok(true),
                "false" | "0" | "" => Ok(false),
                _ => Err(Params::bad(name, "true or false")),
            },
            Some(_) => Err(Params::bad(name, "true or false")),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, RpcError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if self.from_uri => match quoted(text) {
                Some(inner) => Ok(Some(inner.to_owned())),
                None => Err(Params::bad(name, "a text in double quotes")),
            },
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Params::bad(name, "a text")),
        }
    }

    /// Bytes that a body carries in base64 and a URI as `0x...` or as a quoted text.
    pub(super) fn base64(&self, name: &str) -> Result<Option<Vec<u8>>, RpcError> {
        let bad = || Params::bad(name, "bytes in base64");
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if self.from_uri => uri_bytes(name, text).map(Some),
            Some(Value::String(text)) => STANDARD.decode(text).map(Some).map_err(|_| bad()),
            Some(_) => Err(bad()),
        }
    }

    /// Bytes that a body carries in hex and a URI as `0x...` or as a quoted text.
    pub(super) fn hex(&self, name: &str) -> Result<Option<Vec<u8>>, RpcError> {
        let bad = || Params::bad(name, "bytes in hexadecimal digits");
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if self.from_uri => uri_bytes(name, text).map(Some),
            Some(Value::String(text)) => hex::decode(text).map(Some).map_err(|_| bad()),
            Some(_) => Err(bad()),
        }
    }
}

fn uri_bytes(name: &str, text: &str) -> Result<Vec<u8>, RpcError> {
    if let Some(digits) = text.strip_prefix("0x") {
        return hex::decode(digits).map_err(|_| Params::bad(name, "hexadecimal digits after 0x"));
    }
    quoted(text)
        .map(|inner| inner.as_bytes().to_vec())
        .ok_or_else(|| {
            Params::bad(
                name,
                "0x and hexadecimal digits, or a text in double quotes",
            )
        })
}

fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

fn unquoted(text: &str) -> &str {
    quoted(text).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(pairs: &[(&str, &str)]) -> Params {
        let texts = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Params::of(RawParams::Uri(texts), &[]).unwrap()
    }

    #[test]
    fn numbers_come_as_text_or_as_numbers() {
        let params = Params::of(
            RawParams::Positional(vec![
                json!("5"),
                json!(6),
                Value::Null,
                json!(-1),
                json!(1.5),
            ]),
            &["a", "b", "c", "d", "e"],
        )
        .unwrap();
        assert_eq!(params.number("a").unwrap(), Some(5));
        assert_eq!(params.number("b").unwrap(), Some(6));
        assert_eq!(params.number("c").unwrap(), None);
        assert_eq!(params.number("d").unwrap_err().code, -32602);
        assert_eq!(params.number("e").unwrap_err().code, -32602);
    }

    #[test]
    fn a_uri_quotes_text_and_prefixes_hex() {
        let params = uri(&[
            ("h", "\"7\""),
            ("n", "8"),
            ("t", "\"x\""),
            ("b", "0x0aFF"),
            ("s", "\"ab\""),
            ("p", "true"),
        ]);
        assert_eq!(params.number("h").unwrap(), Some(7));
        assert_eq!(params.number("n").unwrap(), Some(8));
        assert_eq!(params.text("t").unwrap().as_deref(), Some("x"));
        assert_eq!(params.base64("b").unwrap(), Some(vec![0x0a, 0xff]));
        assert_eq!(params.hex("s").unwrap(), Some(b"ab".to_vec()));
        assert!(params.boolean("p").unwrap());
        assert!(uri(&[("t", "bare")]).text("t").is_err());
    }

    #[test]
    fn positional_parameters_are_all_or_none() {
        let error = Params::of(RawParams::Positional(vec![json!(1)]), &["a", "b"])
            .err()
            .unwrap();
        assert_eq!(error.code, -32602);
        assert!(Params::of(RawParams::Positional(vec![]), &["a", "b"]).is_ok());
    }

    #[test]
    fn ids_are_texts_or_whole_numbers() {
        for id in [json!("x"), json!(1), json!(-5), json!(u64::MAX)] {
            let request = Request::parse(json!({ "id": id, "method": "health" })).unwrap();
            assert_eq!(request.id, Some(id));
        }
        for id in [
            json!(1.5),
            json!(1e300),
            json!([1]),
            json!({}),
            json!(true),
            json!("x".repeat(257)),
        ] {
            assert_eq!(
                Request::parse(json!({ "id": id, "method": "health" }))
                    .unwrap_err()
                    .1
                    .code,
                -32600
            );
        }
        assert_eq!(
            Request::parse(json!({ "method": "health" })).unwrap().id,
            None
        );
    }
}
