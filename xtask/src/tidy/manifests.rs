//! Each dependency of a crate is there for a reason, and the reason stands beside it.

use super::{Problem, SourceFile};

pub(super) fn check(file: &SourceFile) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut in_dependencies = false;
    let mut above = "";
    for (index, line) in file.text.lines().enumerate() {
        if line.starts_with('[') {
            in_dependencies = is_dependency_section(line);
        } else if let Some((name, rest)) = line.split_once('=')
            && in_dependencies
            && !line.starts_with(['#', ' '])
            && !above.starts_with('#')
            && !rest.contains(" # ")
        {
            let message = format!("say why {} is needed, in a comment on this line or above it", name.trim());
            problems.push(Problem::new(&file.path, index + 1, message));
        }
        above = line;
    }
    problems
}

/// The root's table of versions needs no reasons: each user of a version gives its own.
fn is_dependency_section(header: &str) -> bool {
    header.trim_end().ends_with("dependencies]") && header != "[workspace.dependencies]"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        let file = SourceFile { path: "Cargo.toml".to_owned(), text: text.to_owned() };
        check(&file).iter().map(|problem| problem.line).collect()
    }

    #[test]
    fn a_reason_may_stand_above_or_beside() {
        let text = "[dependencies]\n# Errors.\na = \"1\"\nb = \"1\" # hashes\n\
            [dev-dependencies]\n# Scratch.\nc = \"1\"\n";
        assert_eq!(lines(text), [0; 0]);
        assert_eq!(lines("[package]\nname = \"x\"\n[workspace.dependencies]\na = \"1\"\n"), [0; 0]);
    }

    #[test]
    fn a_dependency_without_its_own_reason_is_flagged() {
        assert_eq!(lines("[dependencies]\n# Errors.\na = \"1\"\nb = \"1\"\n"), [4]);
        assert_eq!(lines("[build-dependencies]\na.workspace = true\n"), [2]);
        assert_eq!(lines("[target.'cfg(unix)'.dependencies]\na = \"1\"\n"), [2]);
    }
}
