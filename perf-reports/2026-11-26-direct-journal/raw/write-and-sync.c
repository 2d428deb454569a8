#define _GNU_SOURCE
#include <liburing.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/resource.h>
static double now(){struct timespec t;clock_gettime(CLOCK_MONOTONIC,&t);return t.tv_sec*1e6+t.tv_nsec/1e3;}
static int cmp(const void*a,const void*b){double x=*(double*)a,y=*(double*)b;return x<y?-1:x>y;}
int main(int c,char**v){ // mode fill pause_us n dir
 int mode=atoi(v[1]),fill=atoi(v[2]),pause=atoi(v[3]),n=atoi(v[4]);
 char p[200];snprintf(p,200,"%s/tr.%d",v[5],getpid());
 int size=16<<20;
 int fd=open(p,O_CREAT|O_RDWR|O_TRUNC,0600);
 if(fallocate(fd,0,0,size)){perror("fa");return 1;}
 if(fill){char*z=calloc(1,size);if(pwrite(fd,z,size,0)!=size)return 1;}
 fsync(fd);close(fd);
 fd=open(p,O_RDWR|(mode==1?O_DIRECT|O_DSYNC:mode==2?O_DIRECT:0));
 if(fd<0){perror("open");return 1;}
 char*b;posix_memalign((void**)&b,4096,4096);memset(b,7,4096);
 struct io_uring r;io_uring_queue_init(8,&r,IORING_SETUP_SINGLE_ISSUER|IORING_SETUP_DEFER_TASKRUN);
 double*l=malloc(n*8);
 struct rusage u0,u1;getrusage(RUSAGE_SELF,&u0);
 long off=0;
 for(int i=0;i<n;i++){
  if(pause)usleep(pause);
  double t=now();
  if(mode==0||mode==2){ struct io_uring_sqe*s=io_uring_get_sqe(&r);io_uring_prep_write(s,fd,b,mode==2?4096:600,off);s->flags|=IOSQE_IO_LINK;s=io_uring_get_sqe(&r);io_uring_prep_fsync(s,fd,IORING_FSYNC_DATASYNC);io_uring_submit_and_wait(&r,2);
    struct io_uring_cqe*q;for(int k=0;k<2;k++){io_uring_wait_cqe(&r,&q);if(q->res<0){fprintf(stderr,"res %d\n",q->res);return 1;}io_uring_cqe_seen(&r,q);} off+=mode==2?4096:600;}
  else if(mode==1){ struct io_uring_sqe*s=io_uring_get_sqe(&r);io_uring_prep_write(s,fd,b,4096,off);io_uring_submit_and_wait(&r,1);
    struct io_uring_cqe*q;io_uring_wait_cqe(&r,&q);if(q->res<0){fprintf(stderr,"res %d\n",q->res);return 1;}io_uring_cqe_seen(&r,q);off+=4096;}
  else { if(pwrite(fd,b,600,off)!=600)return 1;off+=600;fdatasync(fd);}
  l[i]=now()-t;
 }
 getrusage(RUSAGE_SELF,&u1);
 double cpu=(u1.ru_utime.tv_sec-u0.ru_utime.tv_sec)*1e6+(u1.ru_utime.tv_usec-u0.ru_utime.tv_usec)+(u1.ru_stime.tv_sec-u0.ru_stime.tv_sec)*1e6+(u1.ru_stime.tv_usec-u0.ru_stime.tv_usec);
 qsort(l,n,8,cmp);printf("mode %d fill %d pause %d: p50 %.0f p90 %.0f us, cpu %.1f us\n",mode,fill,pause,l[n/2],l[n*9/10],cpu/n);unlink(p);return 0;}
