//! Frames and messages between the processes of appliance; no dependencies.
