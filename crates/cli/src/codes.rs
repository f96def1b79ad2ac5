//! The error codes. Each has one page in `docs/errors/`, one exit code and one hint; a number is never given twice.

use std::fmt;

/// How the process ends. Programs rely on these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The cluster refused, and said by which rule. Nothing changed.
    Refused = 1,
    /// Wrong usage or configuration. Nothing was attempted.
    Usage = 2,
    /// Certainly not done: nobody could be reached who can do it. Trying again is safe.
    Unavailable = 3,
    /// Perhaps done: the answer was lost. Look before trying again.
    Unknown = 4,
    /// Something failed on this machine.
    Failed = 5,
    /// This node's state differs from that of the others: it never runs again.
    Diverged = 70,
}

/// A kind of error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Code {
    number: u16,
    pub(crate) exit: Exit,
    pub(crate) hint: &'static str,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IL-{:04}", self.number)
    }
}

macro_rules! codes {
    ($($number:literal $name:ident $exit:ident $hint:literal;)*) => {
        $(pub(crate) const $name: Code = Code { number: $number, exit: Exit::$exit, hint: $hint };)*
        #[cfg(test)]
        const ALL: &[Code] = &[$($name),*];
    };
}

codes! {
    1 CONFIG_UNREADABLE Usage "give the path of an existing, readable TOML file with --config";
    2 CONFIG_WRONG Usage "correct the field named above; unknown fields are refused so that no typo passes silently";
    3 DIRECTORY_MISSING Usage "create the directory or mount its disk, then try again";
    4 FILE_MISSING Usage "put the file there or correct the path; `interlock pki issue` makes certificates";
    5 BAD_ARGUMENT Usage "correct the argument; `interlock help COMMAND` describes it";
    6 CLAIM_MISSING Usage "say what the key may have signed before; what is not known is never taken for nothing";
    7 INPUT_FILE_WRONG Usage "nothing was taken from the file; give the file that the option asks for, whole and unedited";
    10 PKI_EXISTS Usage "nothing was overwritten; use another --dir or --name, or move the old files away first";
    11 PKI_UNUSABLE Usage "point --dir at a directory made by `interlock pki init`";
    12 WRITE_FAILED Failed "check space and permissions of the directory; nothing half-written was left behind";
    20 NODE_NOT_FORMATTED Usage "format the node once, with `interlock node format`; never format a node that lost its disk";
    21 NODE_ALREADY_FORMATTED Usage "start it with `interlock node start`; a node is formatted only once in its life";
    22 NODE_FOREIGN_DATA Usage "point data_dir at this node's own directory; nothing was changed";
    23 DIRECTORY_IN_USE Usage "another process works in this directory; stop it first, or use the directory of this one";
    24 NODE_FAILED Failed "the message says what failed; the node did not acknowledge anything that it had not stored";
    25 NODE_REFUSED Refused "do not start it again; replace it by a new node under a new id, as docs/operating/replacing-a-node.md says";
    29 NODE_DIVERGED Diverged "replace this node by a new one under a new id, and keep its directory for analysis; docs/errors says how";
    30 SIGNER_NOT_ENROLLED Usage "enrol the signer once, with `interlock signer enroll`, while the cluster is reachable";
    31 SIGNER_ALREADY_ENROLLED Usage "start it with `interlock signer start`; a watermark is made once and then only grows";
    32 SIGNER_FAILED Failed "the message says what failed; nothing was signed that was not approved";
    33 SIGNER_MISMATCH Usage "certificate, key file, chain id and enrolment must belong together; correct what the message names";
    40 REFUSED Refused "the rule is explained in docs/spec/rules.md; nothing was changed";
    41 UNAVAILABLE Unavailable "nothing was changed; check with `interlock cluster status`, then try again";
    42 OUTCOME_UNKNOWN Unknown "it may have happened; look with `interlock key show` or `cluster status` before trying again";
    43 NO_SUCH_KEY Refused "`interlock key list` shows the names";
    44 NOT_PERMITTED Refused "use a certificate of the role that may do this (operator to change, viewer to look)";
    45 ANSWER_UNREADABLE Failed "client and node disagree on the protocol; compare `interlock --version` on both sides";
    46 NOT_POSSIBLE Refused "nothing was changed; see to what the message names, then try again";
    50 DEMO_FAILED Failed "on a busy machine try again with a release build; if it says the same, please report all that was printed";
    51 OUTPUT_FAILED Failed "the result could not be written to stdout; what was asked may have been done";
    70 MEMBER_ID_USED Refused "format the new node under an id above the highest that `interlock cluster members` shows";
    71 NO_SUCH_MEMBER Refused "`interlock cluster members` shows who is a member";
    72 QUORUM_AT_RISK Refused "nothing was changed; bring the silent nodes back, or replace a dead one, before this";
    73 CHANGE_IN_PROGRESS Refused "nothing was changed; the change under way ends by itself within seconds, then try again";
    74 NOT_CAUGHT_UP Unavailable "see that the new node runs and is reached at its peer address; the same command goes on";
    60 AUDIT_BROKEN Failed "keep the data for analysis; compare with another node's trail before you trust either";
    61 AUDIT_UNREADABLE Usage "point --data-dir at the data directory of a node, as in data_dir of its node.toml";
    80 BACKUP_UNUSABLE Failed "nothing was made of it; take another backup, and check each with `interlock backup verify`";
    81 BACKUP_EXISTS Usage "nothing was overwritten; give another --out";
    82 FLOORS_MISSING Usage "give --comet-rpc, --claims, the --watermark of every signer, or --bump-heights; each key needs one";
    83 CHAIN_HEAD_UNKNOWN Unavailable "nothing was made; ask a node of the chain that is not catching up, over http://";
    84 RECOVERY_FAILED Failed "nothing was made, and the old directory is as it was; the message says what failed";
    85 KEY_STILL_SIGNS Refused "nothing was changed; find and stop the process that signs with this key, then look again";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
        let pages: BTreeSet<String> = std::fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("IL-"))
            .collect();
        let codes: BTreeSet<String> = ALL.iter().map(|code| format!("{code}.md")).collect();
        assert_eq!(pages, codes);
        assert_eq!(codes.len(), ALL.len(), "a number is given twice");
    }

    #[test]
    fn every_page_answers_the_three_questions() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
        for code in ALL {
            let page = std::fs::read_to_string(directory.join(format!("{code}.md"))).unwrap();
            assert!(page.starts_with(&format!("# {code}: ")), "{code}");
            for heading in ["## Meaning", "## Is it safe?", "## What to do"] {
                assert!(page.contains(heading), "{code} lacks {heading:?}");
            }
        }
    }
}
