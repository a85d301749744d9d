module welkin.local/volume

go 1.23.0
