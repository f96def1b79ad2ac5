//! State files of CometBFT and tmkms: one step apart, and never taken for one another.

use interlock_chains::cometbft::{
    StateFileError, StateForm, end_of_height, read_state_file, write_state_file,
};
use interlock_core::cometbft::{Position, Step};

fn at(height: u64, round: u32, step: Step) -> Option<Position> {
    Some(Position { height, round, step })
}

fn cometbft(text: &str) -> Result<Option<Position>, StateFileError> {
    read_state_file(StateForm::Cometbft, text)
}

fn tmkms(text: &str) -> Result<Option<Position>, StateFileError> {
    read_state_file(StateForm::Tmkms, text)
}

#[test]
fn the_same_step_has_two_numbers() {
    for (step, name) in [(1, Step::Proposal), (2, Step::Prevote), (3, Step::Precommit)] {
        let text =
            format!(r#"{{"height":"36","round":4,"step":{step},"signature":"N8==","signbytes":"76"}}"#);
        assert_eq!(cometbft(&text), Ok(at(36, 4, name)));
        let text = format!(r#"{{"height":"36","round":"4","step":{},"block_id":null}}"#, step - 1);
        assert_eq!(tmkms(&text), Ok(at(36, 4, name)));
    }
}

#[test]
fn a_signer_that_never_signed_says_so() {
    assert_eq!(cometbft("{\n \"height\": \"0\",\n \"round\": 0,\n \"step\": 0\n}"), Ok(None));
    assert_eq!(tmkms(r#"{"height":"0","round":"0","step":0}"#), Ok(None));
}

/// Read by the other's rule, a file is off by one step.
#[test]
fn one_form_is_never_read_as_the_other() {
    let error = tmkms(r#"{"height":"36","round":0,"step":2}"#).unwrap_err();
    assert_eq!(error, StateFileError::OtherForm { found: "number", other: "CometBFT" });
    let error = cometbft(r#"{"height":"36","round":"0","step":2}"#).unwrap_err();
    assert_eq!(error, StateFileError::OtherForm { found: "string", other: "tmkms" });
    assert!(cometbft(r#"{"height":"36","round":"0","step":2,"block_id":null}"#).is_err());
}

#[test]
fn what_is_cut_missing_or_impossible_is_an_error_and_never_zero() {
    for text in [
        "",
        "{}",
        "{\"height\":\"36\",\"round\":0",
        r#"{"round":0,"step":1}"#,
        r#"{"height":36,"round":0,"step":1}"#,
        r#"{"height":"","round":0,"step":1}"#,
        r#"{"height":"-1","round":0,"step":1}"#,
        r#"{"height":"+1","round":0,"step":1}"#,
        r#"{"height":"9223372036854775808","round":0,"step":1}"#,
        r#"{"height":"1","round":-1,"step":1}"#,
        r#"{"height":"1","round":2147483648,"step":1}"#,
        r#"{"height":"1","round":0,"step":4}"#,
        r#"{"height":"1","round":0,"step":1,"more":1}"#,
    ] {
        assert!(cometbft(text).is_err(), "{text}");
    }
    let edited = cometbft(r#"{"height":"36","round":0,"step":0}"#).unwrap_err();
    assert!(matches!(edited, StateFileError::Impossible { height: 36, .. }), "{edited}");
    assert!(matches!(tmkms(r#"{"height":"1","round":"0","step":3}"#), Err(StateFileError::Step { .. })));
    assert!(tmkms(r#"{"height":"0","round":"0","step":1}"#).is_err());
}

#[test]
fn what_is_written_reads_back() {
    let first = Position { height: 7, round: 2, step: Step::Proposal };
    for position in [Some(end_of_height(9)), Some(first), None] {
        for form in [StateForm::Cometbft, StateForm::Tmkms] {
            assert_eq!(read_state_file(form, &write_state_file(form, position)), Ok(position));
        }
    }
}
