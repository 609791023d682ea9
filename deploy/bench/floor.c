/* The floor: what this machine takes for a request when nothing is done with it. One epoll loop, one thread, edge cases left out. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nhello world\n";

int main(int count, char **words) {
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(count > 1 ? atoi(words[1]) : 8000)};
    struct epoll_event event = {.events = EPOLLIN}, events[256];
    char request[4096];
    int yes = 1, poll = epoll_create1(0), listener = socket(AF_INET, SOCK_STREAM, 0);
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&where, sizeof where) || listen(listener, 1024)) return 1;
    event.data.fd = listener;
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;)
        for (int ready = epoll_wait(poll, events, 256, -1), at = 0; at < ready; at++) {
            int fd = events[at].data.fd;
            if (fd == listener) {
                event.data.fd = accept(listener, NULL, NULL);
                setsockopt(event.data.fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
                epoll_ctl(poll, EPOLL_CTL_ADD, event.data.fd, &event);
            } else if (read(fd, request, sizeof request) <= 0 || write(fd, answer, sizeof answer - 1) < 0)
                close(fd);
        }
}
