//! Answers of Redis as values. What no server of ours says is [`StoreError::Corrupt`].

use lynk_model::StoreError;
use redis::Value;

pub(crate) fn number(value: &Value) -> Result<u64, StoreError> {
    match value {
        Value::Int(number) => u64::try_from(*number).map_err(|_| StoreError::Corrupt),
        _ => Err(StoreError::Corrupt),
    }
}

pub(crate) fn bytes(value: Value) -> Result<Option<Vec<u8>>, StoreError> {
    match value {
        Value::BulkString(bytes) => Ok(Some(bytes)),
        Value::Nil => Ok(None),
        _ => Err(StoreError::Corrupt),
    }
}

pub(crate) fn numbers(value: &Value) -> Result<Vec<u64>, StoreError> {
    match value {
        Value::Array(all) => all.iter().map(number).collect(),
        _ => Err(StoreError::Corrupt),
    }
}
