//! A partner of the interop cases: Rust's std::fs::File::lock. See partner.mjs for what it is told
//! and says.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead};

fn open(path: &str) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .expect("open")
}

fn acquire(file: &File, wait: bool, shared: bool) -> bool {
    let attempt = if shared {
        file.try_lock_shared()
    } else {
        file.try_lock()
    };
    match attempt {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) if wait => {
            println!("waits");
            let lock = if shared {
                File::lock_shared
            } else {
                File::lock
            };
            lock(file).expect("lock");
            true
        }
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(error)) => panic!("{error}"),
    }
}

fn count(path: &str, counter: &str, times: usize) {
    for _ in 0..times {
        let file = open(path);
        file.lock().expect("lock");
        let value: u64 = fs::read_to_string(counter).unwrap().trim().parse().unwrap();
        fs::write(counter, (value + 1).to_string()).unwrap();
        file.unlock().expect("unlock");
    }
}

fn main() {
    let path = std::env::args().nth(1).expect("a path");
    let mut held = None;
    println!("ready");
    for line in io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            "lock" | "try" => {
                let file = open(&path);
                if acquire(&file, words[0] == "lock", words[1] == "sh") {
                    println!("held {}", std::process::id());
                    held = Some(file);
                } else {
                    println!("refused");
                }
            }
            "unlock" => {
                held.take().expect("a lock").unlock().expect("unlock");
                println!("unlocked");
            }
            "count" => {
                count(&path, words[1], words[2].parse().unwrap());
                println!("counted");
            }
            _ => panic!("{line}"),
        }
    }
}
