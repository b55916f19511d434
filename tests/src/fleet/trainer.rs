//! Trainers of sh: everything about them is real but the numbers, and they take no time.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Reads the protocol's arguments and makes everything that a trainer leaves. `at POINT` dies where a test says so.
const PROLOGUE: &str = r#"#!/bin/sh
job=$1; inputs=$3; outputs=$5; checkpoints=$7
artifacts=$outputs/model_artifacts
at() { if [ "$TRAINYARD_CRASH_AT" = "trainer.$1" ]; then kill -KILL $$; fi; }
progress() {
  echo '{"event":"progress","phase":"train","step":'"$1"',"of":4,"loss":0.5,"learning_rate":0.1,"samples_per_second":10.0,"tokens_per_second":100.0}'
}
save() {
  mkdir "$checkpoints/checkpoint-$1"
  echo "weights of $1" > "$checkpoints/checkpoint-$1/weights"
  echo '{"event":"checkpoint","step":'"$1"',"folder":"checkpoint-'"$1"'"}'
}
export_model() {
  mkdir -p "$artifacts"
  echo '{"model_type":"none"}' > "$artifacts/config.json"
  echo '[{"label": "a", "score": 0.9}]' > "$outputs/predictions.json"
  echo '{"step":4}' > "$outputs/loss_curve.jsonl"
  echo 'rows' > "$outputs/train.parquet"
  echo '{"scores":{"macro_recall":0.8},"per_label":{},"labels":["a","b"],"train_rows":2,"validation_rows":2,"steps":4,"best_step":4,"environment":{"trainer":"sh","libtorch":"none","precision":"fp32","device":"cpu","threads":1,"cpu_capability":"none"}}' > "$outputs/report.json"
  echo '{"event":"exported","files":1,"bytes":2}'
}
"#;

/// Does at once what it is asked.
pub const QUICK: &str = "progress 4; export_model";

/// Saves a checkpoint, lets it be uploaded, and goes on from one that it finds.
pub const CAREFUL: &str = r#"
at start
if [ ! -e "$checkpoints/checkpoint-2/weights" ]; then
  progress 1; at progress
  save 2; at checkpoint
  sleep 0.4
fi
progress 4
at export
export_model
at exported
"#;

/// Its model is so large that it travels to a bucket in parts.
pub const LARGE: &str = r#"
progress 4
mkdir -p "$artifacts"
head -c 17000000 /dev/zero > "$artifacts/weights"
export_model
"#;

/// The same as [`CAREFUL`], but even a slow store has the checkpoint before the training ends.
pub const SLOWER: &str = r#"
progress 1
save 2
sleep 3
progress 4
export_model
"#;

/// Says its process id in the file `pids` beside this program, and never ends.
pub const ENDLESS: &str = r#"
trap '' TERM
echo $$ >> "$(dirname "$0")/pids"
progress 1
while :; do sleep 0.05; done
"#;

/// Writes an executable trainer of this script.
pub(super) fn write(folder: &Path, name: &str, script: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, format!("{PROLOGUE}\n{script}\n")).expect("the trainer's script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("an executable file");
    path
}
