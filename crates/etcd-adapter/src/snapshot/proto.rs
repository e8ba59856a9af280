//! The few protobuf messages inside a snapshot, read in place.
//!
//! Field numbers: etcd's `api/mvccpb/kv.proto`, `server/lease/leasepb/lease.proto` and
//! `api/etcdserverpb/rpc.proto`. Unknown fields are passed over, as protobuf demands; a known field
//! of the wrong wire type makes the message unreadable, as it does for etcd.

/// One field: its number and its value.
enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// A fixed-width value, which no message of ours has.
    Fixed,
}

/// The record of a key at one revision, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct KeyValue<'a> {
    pub(super) key: &'a [u8],
    pub(super) create_revision: i64,
    pub(super) mod_revision: i64,
    pub(super) version: i64,
    pub(super) lease: i64,
}

impl<'a> KeyValue<'a> {
    /// Reads an `mvccpb.KeyValue`; `None` when `bytes` is not one.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut record = Self::default();
        for_each_field(bytes, |number, value| {
            match (number, value) {
                (1, Value::Bytes(key)) => record.key = key,
                (2, Value::Varint(v)) => record.create_revision = v.cast_signed(),
                (3, Value::Varint(v)) => record.mod_revision = v.cast_signed(),
                (4, Value::Varint(v)) => record.version = v.cast_signed(),
                (5, Value::Bytes(_)) => {}
                (6, Value::Varint(v)) => record.lease = v.cast_signed(),
                (1..=6, _) => return None,
                _ => {}
            }
            Some(())
        })?;
        Some(record)
    }
}

/// The id in a `leasepb.Lease`; `None` when `bytes` is not one.
pub(super) fn lease_id(bytes: &[u8]) -> Option<i64> {
    let mut id = 0;
    for_each_field(bytes, |number, value| {
        match (number, value) {
            (1, Value::Varint(v)) => id = v.cast_signed(),
            (2 | 3, Value::Varint(_)) => {}
            (1..=3, _) => return None,
            _ => {}
        }
        Some(())
    })?;
    Some(id)
}

/// The member and the type in an `etcdserverpb.AlarmMember`; `None` when `bytes` is not one.
pub(super) fn alarm(bytes: &[u8]) -> Option<(u64, u64)> {
    let mut alarm = (0, 0);
    for_each_field(bytes, |number, value| {
        match (number, value) {
            (1, Value::Varint(v)) => alarm.0 = v,
            (2, Value::Varint(v)) => alarm.1 = v,
            (1 | 2, _) => return None,
            _ => {}
        }
        Some(())
    })?;
    Some(alarm)
}

fn for_each_field<'a>(
    mut bytes: &'a [u8],
    mut field: impl FnMut(u64, Value<'a>) -> Option<()>,
) -> Option<()> {
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let number = tag >> 3;
        if number == 0 {
            return None;
        }
        let value = match tag & 7 {
            0 => Value::Varint(varint(&mut bytes)?),
            1 => {
                bytes.split_off(..8)?;
                Value::Fixed
            }
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                Value::Bytes(bytes.split_off(..length)?)
            }
            5 => {
                bytes.split_off(..4)?;
                Value::Fixed
            }
            _ => return None,
        };
        field(number, value)?;
    }
    Some(())
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_value_is_read_and_unknown_fields_are_passed_over() {
        let bytes = [
            0x0A, 2, b'k', b'1', 0x10, 2, 0x18, 0xAC, 0x02, 0x20, 1, 0x2A, 1, b'v', 0x38, 9,
        ];
        let expected = KeyValue {
            key: b"k1",
            create_revision: 2,
            mod_revision: 300,
            version: 1,
            lease: 0,
        };
        assert_eq!(KeyValue::read(&bytes), Some(expected));
    }

    #[test]
    fn broken_messages_are_refused() {
        assert_eq!(
            KeyValue::read(&[0x0A, 5, b'k']),
            None,
            "a length past the end"
        );
        assert_eq!(KeyValue::read(&[0x08, 1]), None, "the key as a number");
        assert_eq!(KeyValue::read(&[0x10]), None, "a tag without a value");
        assert_eq!(KeyValue::read(&[0x02, 0]), None, "field number zero");
        assert_eq!(lease_id(&[0xFF; 11]), None, "a varint without an end");
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (KeyValue::read(&bytes), lease_id(&bytes), alarm(&bytes));
        }
    }
}
