cd /home/somebody/standpipe && ./run
