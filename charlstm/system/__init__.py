"""What charlstm asks of the machine: files that survive, signals, processes that talk."""
